"""Numbers that a language model writes as answers, as it would be used: decoded token by token, and read from the text."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.models.language.decoding import Pick, Reading
from mesascope.models.language.subject import LanguageSubject
from mesascope.models.language.tokens import Tokens
from mesascope.models.language.writing import Writing, continuations, encode
from mesascope.records.checks import check_count
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.types import Prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How an answer is decoded: always the likeliest token, and besides sampled ones.

    Attributes:
        longest: tokens of an answer, at most.
        samples: sampled answers to each query.
        temperature: what logits are divided by to sample.

    Raises:
        ValueError: no tokens, a negative number of samples, or a temperature that is not positive and finite.

    Source: Vacareanu et al. 2024, the released code (12 tokens, temperature 0, so no samples).
    """

    longest: int = 12
    samples: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_count("longest", self.longest)
        check_count("samples", self.samples, least=0)
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature must be positive and finite; got {shown(self.temperature)}. Pass 1 for the model's own "
                "probabilities, and no samples for its likeliest tokens only."
            )


GREEDY = Decoding()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replies:
    """A language model's answers.

    Attributes:
        texts: for each prompt and query what was decoded.
        values: the number in each of these texts; NaN where there is none.
        sampled: the numbers in the sampled texts.
        likelihoods: of each number that was asked about, the log-probability of all of its tokens and of the one that ends it, in
            nats; NaN for a number that is not finite.
        first: the same of its tokens up to the first that holds a part of the number (a space may come before).
        opening: that first token.
        own: the log-probability of the number that was decoded, in the same way; NaN where there is none.
    """

    texts: tuple[tuple[str, ...], ...]
    values: Float[Tensor, "batch query"]
    sampled: Float[Tensor, "sample batch query"]
    likelihoods: Float[Tensor, "batch query member"]
    first: Float[Tensor, "batch query member"]
    opening: Int[Tensor, "batch query member"]
    own: Float[Tensor, "batch query"]

    @property
    def answers(self) -> Float[Tensor, "batch query"]:
        """The model's answers: the median of the sampled numbers, if there are any samples; else those of the likeliest texts."""
        return self.sampled.nanmedian(0).values if len(self.sampled) else self.values


def replies(
    subject: LanguageSubject,
    prompts: Prompts,
    *,
    decoding: Decoding = GREEDY,
    numbers: Float[Tensor, "batch query member"] | None = None,
    seed: int = 0,
) -> Replies:
    """Have a language model write its answers. Each depends on its prompt, the query and the seed alone.

    Args:
        subject: the model, whose template may have labels of any range.
        prompts: the problems.
        decoding: how.
        numbers: for each query numbers to score as answers, written as the template writes labels (one outside its range as
            the nearer end).
        seed: of the samples.

    Raises:
        ValueError: the prompts do not fit the template or the model's context, or need more memory than there is.
    """
    tokens, writing = encode(subject.writing, prompts), subject.writing
    batch, asked = prompts.queries.shape[:2]
    numbers = torch.empty(batch, asked, 0) if numbers is None else numbers
    rows = list[list[_Reply]]()
    for prompt in range(batch):
        text = Reading(subject.network)
        text.read(_ids(tokens, prompt, 0))
        row = list[_Reply]()
        for query in range(asked):
            ids = _ids(tokens, prompt, query + 1)
            text.read(ids)
            rng = generator(seed, f"language/replies/{_digest(tokens, prompt, query)}")
            row.append(_reply(text, writing, decoding, numbers[prompt, query], rng))
            text.take_back(len(ids))
        rows.append(row)

    def gathered(name: str) -> Tensor:
        return torch.stack([torch.stack([getattr(reply, name) for reply in row]) for row in rows])

    return Replies(
        texts=tuple(tuple(reply.text for reply in row) for row in rows),
        values=gathered("value"),
        sampled=gathered("sampled").movedim(-1, 0),
        likelihoods=gathered("likelihoods"),
        first=gathered("first"),
        opening=gathered("opening"),
        own=gathered("own"),
    )


def replies_along(
    subject: LanguageSubject, prompts: Prompts, counts: Sequence[int], *, decoding: Decoding = GREEDY
) -> Float[Tensor, "batch count"]:
    """The likeliest answers along a prompt: the label of every example, as answered from the examples before it alone.

    Args:
        subject, prompts: as in `replies`. The prompts' own queries are not asked.
        counts: after how many examples the next one's input is asked, in ascending order.
        decoding: how; no samples are taken.

    Returns:
        The number for each count; NaN where there is none.

    Raises:
        ValueError: counts that are not ascending and from 1 to below the number of examples, or what `replies` raises.
    """
    if not counts or list(counts) != sorted(set(counts)) or counts[0] < 1 or counts[-1] >= prompts.examples:
        raise ValueError(
            f"counts must be ascending, from 1 to below the number of examples, {prompts.examples}; got {shown(tuple(counts))}. "
            "The example after so many is asked."
        )
    tokens, writing = encode(subject.writing, prompts), subject.writing
    starts = subject.layout(prompts.examples, prompts.queries.shape[1]).labels[0, :, 0].tolist()
    found = torch.full((len(prompts), len(counts)), torch.nan, dtype=torch.float64)
    for prompt in range(len(prompts)):
        text, done = Reading(subject.network), 0
        for place, count in enumerate(counts):
            there = tokens.real[prompt, done : starts[count]]
            text.read(tokens.ids[prompt, done : starts[count]][there].tolist())
            done = starts[count]
            (ids,) = text.continued(1, _likeliest, decoding.longest)
            found[prompt, place] = _value(writing, _text(writing, ids))
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reply:
    text: str
    value: Float[Tensor, ""]
    sampled: Float[Tensor, " sample"]
    likelihoods: Float[Tensor, " member"]
    first: Float[Tensor, " member"]
    opening: Int[Tensor, " member"]
    own: Float[Tensor, ""]


def _reply(
    text: Reading, writing: Writing, decoding: Decoding, numbers: Float[Tensor, " member"], rng: torch.Generator
) -> _Reply:
    (likeliest,), sampled = text.continued(1, _likeliest, decoding.longest), list[list[int]]()
    while len(sampled) < decoding.samples:
        count = min(text.rows(), decoding.samples - len(sampled))
        sampled += text.continued(count, _sampling(decoding.temperature, rng), decoding.longest)
    value = torch.tensor(_value(writing, _text(writing, likeliest)), dtype=torch.float64)
    scored = torch.cat([numbers.double(), value[None]]) if len(numbers) else numbers
    whole, first, opening = _scores(text, writing, scored)
    return _Reply(
        text=_text(writing, likeliest),
        value=value,
        sampled=torch.tensor([_value(writing, _text(writing, ids)) for ids in sampled], dtype=torch.float64),
        likelihoods=whole[: len(numbers)],
        first=first[: len(numbers)],
        opening=opening[: len(numbers)].long(),
        own=whole[-1] if len(numbers) else torch.tensor(torch.nan, dtype=torch.float64),
    )


def _likeliest(count: int, logits: Tensor) -> Tensor:
    return logits.argmax(-1)


def _sampling(temperature: float, rng: torch.Generator) -> Pick:
    """A token of each row with its probability: the largest logit once Gumbel noise is added."""

    def pick(count: int, logits: Float[Tensor, "row vocab"]) -> Int[Tensor, " row"]:
        noise = -torch.empty(logits.shape).exponential_(generator=rng).log()
        return (logits.float().cpu() / temperature + noise).argmax(-1)

    return pick


def _scores(
    text: Reading, writing: Writing, numbers: Float[Tensor, " member"]
) -> tuple[Float[Tensor, " member"], Float[Tensor, " member"], Float[Tensor, " member"]]:
    """Of each number: the log-probability of all of it, that of its beginning, and the token which begins it."""
    finite = numbers.isfinite()
    labels = replace(writing.template.labels, saturate=True)
    written = labels.write("numbers", numbers[finite])
    different = list(dict.fromkeys(written))
    words = continuations(writing, different) if different else ()
    parts = dict(zip(different, zip(words, text.log_probabilities(words), strict=True), strict=True))
    found = torch.full((3, len(numbers)), torch.nan, dtype=torch.float64)
    for place, number in zip(finite.nonzero()[:, 0].tolist(), written, strict=True):
        word, each = parts[number]
        begins = next(i for i, token in enumerate(word) if writing.tokenizer.decode([token]).strip())
        found[:, place] = torch.stack([each.sum(), each[: begins + 1].sum(), torch.tensor(float(word[begins]))])
    found[2] = found[2].nan_to_num(nan=-1)
    return found[0], found[1], found[2]


def _text(writing: Writing, ids: Sequence[int]) -> str:
    """What was decoded, up to where the template goes on after a label."""
    return writing.tokenizer.decode(ids).lstrip().split(writing.template.after_label[0])[0].strip()


def _value(writing: Writing, text: str) -> float:
    """The number that a text is, in the task's units; NaN if it is none."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return float(writing.template.labels.read(torch.tensor(value))) if math.isfinite(value) else math.nan


def _ids(tokens: Tokens, prompt: int, branch: int) -> list[int]:
    mine = tokens.real[prompt] & (tokens.branch == branch)
    return tokens.ids[prompt][mine].tolist()


def _digest(tokens: Tokens, prompt: int, query: int) -> str:
    """A name for a prompt with one of its queries, by its content."""
    ids = [*_ids(tokens, prompt, 0), *_ids(tokens, prompt, query + 1)]
    return hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()


__all__ = ("GREEDY", "Decoding", "Replies", "replies", "replies_along")
