"""For each prompt two numbers that a language model could answer, such as two regressors', as they are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.models.language import LanguageSubject, replies
from mesascope.models.language.template import Numbers
from mesascope.models.language.writing import continuations
from mesascope.regressors import regressor
from mesascope.types import Prompts

TARGET, MODEL = "target", "model"
"""In a pair, the task's own answer in place of a regressor's, and the number that the language model itself writes."""
Names = tuple[str, str]
"""Whose numbers are compared: names of regressors, `TARGET` or `MODEL`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Two numbers for each prompt's query.

    Attributes:
        name: whose numbers they are.
        numbers: as they are written; any number where there is none.
        compared: where both can be written and differ.
        tied: where both are written alike.
        begin_alike: where they differ, but not in their first token.
    """

    name: str
    numbers: tuple[Names, ...]
    compared: Bool[Tensor, " batch"]
    tied: Bool[Tensor, " batch"]
    begin_alike: Bool[Tensor, " batch"]

    @property
    def places(self) -> Int[Tensor, " chosen"]:
        """The prompts on which the numbers are compared."""
        return self.compared.nonzero()[:, 0]

    def __getitem__(self, index: Int[Tensor, " chosen"]) -> "Pair":
        """The pair on the chosen prompts."""
        masks = {name: getattr(self, name)[index] for name in ("compared", "tied", "begin_alike")}
        return replace(self, numbers=tuple(self.numbers[i] for i in index.tolist()), **masks)


def number_pairs(
    subject: LanguageSubject,
    prompts: Prompts,
    names: Sequence[Names],
    *,
    seed: int = 0,
    decoded: Float[Tensor, " batch"] | None = None,
) -> tuple[Pair, ...]:
    """The numbers that pairs of regressors answer, each prompt's query by each of them.

    Args:
        subject: who reads them; its template says how they are written.
        prompts: the problems, with one query each.
        names: whose numbers are compared.
        seed: of what is random in regressors.
        decoded: what the model itself writes, where that is known already.

    Raises:
        ValueError: there is no regressor of a name, or prompts have several queries.
        NotApplicable: no prompt has two numbers that can be compared.
    """
    if prompts.queries.shape[1] != 1:
        raise ValueError(
            f"prompts must have one query each to be compared; got {prompts.queries.shape[1]}. Sample from a task with queries=1."
        )
    labels = subject.writing.template.labels
    whose = dict.fromkeys(name for pair in names for name in pair)
    known = {} if decoded is None else {MODEL: decoded}
    found = {name: known[name] if name in known else answers_of(name, subject, prompts, seed) for name in whose}
    written = {name: _written(labels, values) for name, values in found.items()}
    return tuple(_pair(subject, written, pair) for pair in names)


def answers_of(name: str, subject: LanguageSubject, prompts: Prompts, seed: int) -> Float[Tensor, " batch"]:
    """The answers to each prompt's first query of the regressor with this name, of the model, or of the task."""
    if name == TARGET:
        return prompts.targets[:, 0]
    if name == MODEL:
        return replies(subject, prompts).values[:, 0]
    return regressor(name).predict(prompts, seed=seed)[:, 0]


def _written(labels: Numbers, values: Float[Tensor, " batch"]) -> tuple[list[str], Bool[Tensor, " batch"]]:
    """The values as the template writes them, and which of them it can write."""
    low, high = round(labels.lowest, labels.decimals), round(labels.highest, labels.decimals)
    shown = (values.double() * labels.scale + labels.offset).round(decimals=labels.decimals)
    there = shown.isfinite() & ((shown >= low) & (shown <= high) | labels.saturate)
    any_number = labels.read(torch.full_like(shown, labels.lowest))
    return labels.write("answers", torch.where(there, values.double(), any_number)), there


def _pair(
    subject: LanguageSubject, written: Mapping[str, tuple[list[str], Bool[Tensor, " batch"]]], names: Names
) -> Pair:
    (ours, there), (theirs, also) = (written[name] for name in names)
    numbers = tuple(zip(ours, theirs, strict=True))
    equal = torch.tensor([one == other for one, other in numbers])
    different = list(dict.fromkeys((*ours, *theirs)))
    first = {text: tokens[0] for text, tokens in zip(different, continuations(subject.writing, different), strict=True)}
    alike = torch.tensor([first[one] == first[other] for one, other in numbers])
    both = there & also
    if not bool((both & ~equal).any()):
        raise NotApplicable(
            f"{names[0]} and {names[1]} have no prompt with two numbers that can be written and differ, so none is compared."
        )
    return Pair(
        name=f"{names[0]} over {names[1]}",
        numbers=numbers,
        compared=both & ~equal,
        tied=both & equal,
        begin_alike=both & ~equal & alike,
    )


__all__ = ("MODEL", "TARGET", "Names", "Pair", "answers_of", "number_pairs")
