"""Statistics over a panel of models: means, and correlations of what was measured of each."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from mesascope.instruments.statistics.correlation import Correlation, correlation
from mesascope.studies.language_models.networks import LADDER, SMOLLM2
from mesascope.studies.rules import Derived, Where
from mesascope.types import Control, Measurement, Scalar

PANEL = {
    "distilgpt2": "hf:distilbert/distilgpt2",
    "gpt2": "hf:openai-community/gpt2",
    "gpt2-medium": "hf:openai-community/gpt2-medium",
    "gpt2-large": "hf:openai-community/gpt2-large",
    "gpt-neo-125m": "hf:EleutherAI/gpt-neo-125m",
    "pythia-70m": "hf:EleutherAI/pythia-70m",
    "pythia-160m": "hf:EleutherAI/pythia-160m",
    "pythia-410m": "hf:EleutherAI/pythia-410m",
    "pythia-1b": "hf:EleutherAI/pythia-1b",
    "Qwen2.5-0.5B": "hf:Qwen/Qwen2.5-0.5B",
    "tinyllama-1.1b": "hf:TinyLlama/TinyLlama-1.1B-Chat-v1.0",
}
"""Source C's eleven models, by its names for them."""
HERE = (*LADDER, SMOLLM2)
"""The models that can be run here."""
SHUFFLED, LINE = "another model's value", "a line through the first variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One number of each model.

    Attributes:
        of: where it was measured, but for the network.
        name: what it is called.
        log: take its logarithm.
    """

    of: Where
    name: str
    log: bool = False

    def values(self, found: Sequence[Measurement], networks: Sequence[str]) -> dict[str, Measurement]:
        """The measurements by network."""
        return {str(m.coordinates["network"]): m for m in self.of.among(found) if m.coordinates["network"] in networks}

    def number(self, value: float) -> float:
        """The number that enters a correlation."""
        return math.log(value) if self.log else value


def mean_over(of: Where, networks: Sequence[str]) -> Derived:
    """The mean over a panel of models, and of each of their controls; nothing unless all were measured.

    The interval is over prompts, for these very models.
    """

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        values = Variable(of=of, name="").values(found, networks)
        if set(values) != set(networks):
            return []
        each = list(values.values())
        return [averaged(each, {**_rest(each[0]), "models": len(each)})]

    return Derived(words=f"mean {of.quantity} over {len(networks)} models", of=among, uses=(of,))


def averaged(each: Sequence[Measurement], coordinates: Mapping[str, Scalar]) -> Measurement:
    """The mean of several measurements of one quantity on prompts of their own, and of each of the controls that all have."""
    halves = [(m.value - m.interval[0], m.interval[1] - m.value) for m in each if m.interval is not None]
    mean, size = fmean(m.value for m in each), len(each)
    below, above = (math.hypot(*side) / size for side in zip(*halves, strict=True)) if halves else (0.0, 0.0)
    controls = (replace(group[0], value=fmean(c.value for c in group), interval=None) for group in _alike(each))
    return replace(
        each[0],
        quantity=f"mean {each[0].quantity}",
        value=mean,
        interval=(mean - below, mean + above) if len(halves) == size else None,
        coordinates=coordinates,
        controls=tuple(controls),
    )


def correlated(
    a: Variable,
    b: Variable,
    networks: Sequence[str],
    *,
    given: Variable | None = None,
    whole: bool = False,
    reliable: Callable[[Sequence[Measurement], str], bool] | None = None,
    show: Callable[[Correlation], float] = lambda found: found.value,
    words: str = "correlation",
) -> Derived:
    """The correlation over models of two numbers of each, or the partial one with a third held fixed.

    Controls. Positive: the first variable in place of the second. Negative: every model with the value of the next one.

    Args:
        a, b: the variables.
        networks: the models; those that were measured, if not all are asked for.
        given: what is held fixed.
        whole: derive nothing unless all models were measured, and no interval: the panel is not taken for a sample.
        reliable: which models count.
        show: what of the correlation is shown.
        words: what that is called.
    """
    variables = [a, b, *([given] if given else [])]

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        columns = [variable.values(found, networks) for variable in variables]
        shared = [name for name in networks if all(name in column for column in columns)]
        if whole and len(shared) < len(networks):
            return []
        counted = [name for name in shared if reliable is None or reliable(found, name)]
        x, y, *fixed = (
            [variable.number(column[name].value) for name in counted]
            for variable, column in zip(variables, columns, strict=True)
        )
        made = correlation(x, y, fixed)
        if math.isnan(shown := show(made)):
            return []
        cases = {LINE: correlation(x, x, fixed), SHUFFLED: correlation(x, y[1:] + y[:1], fixed)}
        kinds = {LINE: "positive", SHUFFLED: "negative"}
        return [
            Measurement(
                instrument=columns[1][counted[0]].instrument,
                quantity=_title(words, variables),
                value=shown,
                interval=made.interval if shown == made.value and not whole else None,
                n=made.n,
                coordinates=_rest(columns[1][counted[0]]),
                controls=tuple(
                    Control(kind=kinds[name], name=name, value=show(case), interval=None)  # type: ignore[arg-type]
                    for name, case in cases.items()
                    if not math.isnan(show(case))
                ),
            )
        ]

    return Derived(words=_title(words, variables), of=among, uses=tuple(variable.of for variable in variables))


def p_value(found: Correlation) -> float:
    """What `correlated` shows for ``words="p-value of the correlation"``."""
    return found.p


def _title(words: str, variables: Sequence[Variable]) -> str:
    first, second, *fixed = (f"log {v.name}" if v.log else v.name for v in variables)
    return f"{words} of {first} and {second}" + (f", {fixed[0]} held fixed" if fixed else "")


def _rest(measurement: Measurement) -> Mapping[str, Scalar]:
    return {name: value for name, value in measurement.coordinates.items() if name != "network"}


def _alike(each: Sequence[Measurement]) -> list[list[Control]]:
    """The controls that all have, by name."""
    names = [c.name for c in each[0].controls if all(c.name in {k.name for k in m.controls} for m in each)]
    return [[next(c for c in m.controls if c.name == name) for m in each] for name in names]
