"""Where a language model looks when it is about to write a number: attention from the answer's position to the prompt's numbers.

Most heads put some attention on numbers, because most of a prompt is numbers; and a head that does nothing but continue what
came after an earlier occurrence of the present token (an *induction head*) looks at numbers too, since numbers followed it.
So beside each head stand uniform attention, an ideal induction head, the untrained network, and the head's own induction score:
the attention that it puts, in random text that comes twice, on the token that followed the first time.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.sequences import fitting_blocks, language_model
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.ordering import rank_correlation
from mesascope.instruments.statistics.scores import Quantity, left_out, measure
from mesascope.models.language import LanguageSubject, Template, with_template
from mesascope.models.language.passes import run
from mesascope.models.language.sequences import sequence_tokens
from mesascope.models.language.tokens import Tokens, visible
from mesascope.models.language.writing import encode
from mesascope.seeds import generator
from mesascope.types import Control, Figure, Intervention, Layout, Measurement, Prompts, Scalar, Subject, Task, adjusted

NAME = "number attention"
FEATURES = Quantity(name="attention to the examples' features")
OUTPUTS = Quantity(name="attention to the examples' outputs")
INDUCTION = Quantity(name="induction score of a head")
KINDS = (FEATURES, OUTPUTS)
OVERLAP = "rank correlation of attention to outputs and induction score"
COMMON = "share of the heads that look at outputs most that are induction heads"
EVEN, IDEAL, FRESH = "uniform over what is visible", "an ideal induction head", "untrained network"
ONLY = "all on these positions"
ANY, ITSELF, CHANCE = "97.5 % of random orders of the heads stay below", "the induction scores themselves", "chance"
TOP = 0.05
"""The share of all heads that are those that look at outputs most, and of those that are induction heads; at least one."""
TEXTS, LENGTH = 8, 24
"""Random texts that come twice, and the number of their tokens."""
DRAWS = 1000


Masses = Float[Tensor, "2 batch layer head"]
"""The attention of the answer's position: on the features of all examples, and on their outputs."""
Pick = Callable[[Tensor], Tensor]


def number_attention(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 24, template: Template | None = None, batch: int = 2
) -> tuple[Measurement, ...]:
    """How much attention the position that predicts an answer puts on the features and the outputs of the examples, by head.

    Controls. Positive: a pattern that puts all on these positions (exactly 1); for the comparison with induction scores, the
    scores themselves (exactly 1). Negative: uniform attention over what is visible; an ideal induction head, which attends
    evenly to the tokens that came after earlier occurrences of the present token; the untrained network; for the comparison,
    random orders of the heads, and the share of induction heads among random heads.

    Args:
        subject: a language model.
        task: where the prompts come from.
        seed: of the prompts, the random texts, the untrained weights and the resampling.
        n: number of prompts.
        template: how prompts are written, in place of the subject's own way.
        batch: prompts per pass; it does not change the results.

    Raises:
        NotApplicable: the subject is no language model.

    Source: source D, the attention experiment; Olsson et al. 2022 (induction heads).
    Departs from source: it has neither uniform attention nor an induction head beside its numbers.
    """
    subject = language_model(subject)
    subject = subject if template is None else with_template(subject, template)
    prompts = adjusted(task, queries=1).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    parts = [prompts[i : i + batch] for i in range(0, n, batch)]
    own = torch.cat([_looked(subject, part) for part in parts], 1)
    cases = {name: _known(subject, parts, rows).expand_as(own) for name, rows in ROWS.items()}
    twin = untrained(subject, seed)
    if isinstance(twin, LanguageSubject):
        cases[FRESH] = torch.cat([_looked(twin, part) for part in parts], 1)
    planted = [_planted(subject, parts, kind) for kind in (0, 1)]
    induction, by_chance = induction_scores(subject, seed=seed)
    layers, heads = induction.shape[1:]
    found = [
        measure(
            NAME,
            quantity,
            own[kind, :, layer, head],
            draws,
            coordinates={"layer": layer, "head": head},
            positive={ONLY: planted[kind]},
            negative={name: case[kind, :, layer, head] for name, case in cases.items()},
        )
        for kind, quantity in enumerate(KINDS)
        for layer in range(layers)
        for head in range(heads)
    ]
    return (*found, *_inductive(induction, by_chance, seed), *_compared(own[1], induction.mean(0), draws, seed))


def induction_scores(subject: LanguageSubject, *, seed: int) -> tuple[Float[Tensor, "batch layer head"], float]:
    """Attention, in random text that comes twice, from each token the second time to what followed it the first time.

    Returns:
        The score of each head in each text, and that of uniform attention.
    """
    blocks = fitting_blocks(subject, LENGTH)
    sequences = blocks.sample(TEXTS, seed=seed, stream=f"{NAME}/blocks")
    rows = sequences.at + len(subject.writing.begin)
    after = rows - blocks.length + 1
    tokens = sequence_tokens(subject, sequences)
    scores = _patterns(subject, tokens, lambda pattern: pattern[:, :, rows, after].mean(-1))
    return scores, float((1 / (rows + 1)).mean())


# ------------------------------------------------------------------------------------------ patterns


def _patterns(subject: LanguageSubject, tokens: Tokens, pick: Pick) -> Float[Tensor, "batch layer *any"]:
    """What is picked of each layer's pattern, in double precision on the CPU: no pattern is kept."""
    found: list[Tensor] = []

    def look(pattern: Tensor) -> Tensor:
        found.append(pick(pattern).double().cpu())
        return pattern

    sites = [site for site in subject.network.sites if site.kind == "pattern"]  # in the order of layers
    run(subject.network, tokens, interventions=[Intervention(site=site, edit=look) for site in sites])
    return torch.stack(found, 1)


def _looked(subject: LanguageSubject, prompts: Prompts) -> Masses:
    layout = subject.layout(prompts.examples, 1)
    row = int(layout.answers[0])
    rows = _patterns(subject, encode(subject.writing, prompts), lambda pattern: pattern[:, :, row])
    return _on_numbers(layout, rows)


def _on_numbers(layout: Layout, rows: Float[Tensor, "*any position"]) -> Float[Tensor, "2 *any"]:
    """What a row of a pattern puts on features and on outputs."""
    return torch.stack([rows[..., at[0].flatten()].sum(-1) for at in (layout.inputs, layout.labels)])


def _known(
    subject: LanguageSubject, parts: Sequence[Prompts], rows: Callable[[Tokens, int], Tensor]
) -> Float[Tensor, "2 batch 1 1"]:
    """The same for a pattern that is known beforehand, of one layer and one head."""
    layout = subject.layout(parts[0].examples, 1)
    at = int(layout.answers[0])
    found = torch.cat([rows(encode(subject.writing, part), at) for part in parts])
    return _on_numbers(layout, found)[..., None, None]


def _planted(subject: LanguageSubject, parts: Sequence[Prompts], kind: int) -> Float[Tensor, " batch"]:
    """The same for a pattern that puts all attention evenly on features (0) or on outputs (1)."""
    layout = subject.layout(parts[0].examples, 1)
    at = (layout.inputs, layout.labels)[kind][0].flatten()

    def rows(tokens: Tokens, row: int) -> Tensor:
        there = torch.zeros(tokens.ids.shape, dtype=torch.float64)
        there[:, at] = tokens.real[:, at].double()
        return there / there.sum(-1, keepdim=True)

    return _known(subject, parts, rows)[kind, :, 0, 0]


def _even(tokens: Tokens, row: int) -> Float[Tensor, "batch position"]:
    seen = visible(tokens)[:, row].double()
    return seen / seen.sum(-1, keepdim=True)


def _ideal(tokens: Tokens, row: int) -> Float[Tensor, "batch position"]:
    """All attention on the tokens that came after earlier occurrences of the present one, evenly; none, if it is new."""
    found = torch.zeros(tokens.ids.shape, dtype=torch.float64)
    for ids, seen, mine in zip(tokens.ids, visible(tokens)[:, row], found, strict=True):
        places = seen.nonzero()[:, 0]  # in order, the present one last
        after = places[1:][ids[places[:-1]] == ids[row]]
        mine[after] = 1 / max(1, len(after))
    return found


ROWS: Mapping[str, Callable[[Tokens, int], Tensor]] = {EVEN: _even, IDEAL: _ideal}


# ------------------------------------------------------------------------------------------ induction


def _inductive(scores: Float[Tensor, "batch layer head"], by_chance: float, seed: int) -> list[Measurement]:
    """Every head's induction score, beside that of uniform attention."""
    draws = bootstrap.weights(TEXTS, seed=seed)
    return [
        measure(
            NAME,
            INDUCTION,
            scores[:, layer, head],
            draws,
            coordinates={"layer": layer, "head": head},
            positive={ONLY: 1.0},
            negative={EVEN: by_chance},
        )
        for layer in range(scores.shape[1])
        for head in range(scores.shape[2])
    ]


def _compared(
    outputs: Float[Tensor, "batch layer head"],
    induction: Float[Tensor, "layer head"],
    draws: Float[Tensor, "repeat batch"],
    seed: int,
) -> list[Measurement]:
    """Whether the heads that look at outputs are induction heads."""
    scores, looks = induction.flatten(), outputs.flatten(1)
    overlap = Quantity(name=OVERLAP, combine=lambda means: rank_correlation(means, scores.expand_as(means)))
    rng = generator(seed, f"{NAME}/orders")
    orders = scores[torch.rand(DRAWS, len(scores), generator=rng).argsort(1)]
    by_chance = rank_correlation(orders, scores.expand_as(orders)).quantile(0.975)
    same = float(rank_correlation(scores[None], scores[None]))
    count = max(1, round(TOP * len(scores)))
    ours, theirs = (set(values.topk(count).indices.tolist()) for values in (looks.mean(0), scores))
    common = Measurement(
        instrument=NAME,
        quantity=COMMON,
        value=len(ours & theirs) / count,
        interval=None,
        n=len(outputs),
        controls=(
            Control(kind="positive", name=ITSELF, value=len(theirs & theirs) / count),
            Control(kind="negative", name=CHANCE, value=count / len(scores)),
        ),
    )
    compared = measure(
        NAME, overlap, looks, draws, coordinates={}, positive={ITSELF: same}, negative={ANY: float(by_chance)}
    )
    alike = float(scores.max()) == float(scores.min())
    why = "all heads have the same induction score"
    return [left_out(compared, dict.fromkeys((ITSELF, ANY), why) if alike else {}), common]


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The attention of each head to outputs and to features, and its induction score."""
    shown = {FEATURES.name: "to features", OUTPUTS.name: "to outputs", INDUCTION.name: "induction score"}
    rows: list[dict[str, Scalar]] = [
        {**m.coordinates, "attention": m.value, "what": shown[m.quantity]} for m in measurements if m.quantity in shown
    ]
    return Figure(
        name="number-attention",
        section="Attention to numbers",
        title="Attention of the position that predicts the answer, by head",
        caption="To the features and the outputs of the examples. Beside it the head's induction score: its attention, in "
        "random text that comes twice, to what followed the same token the first time.",
        kind="heatmap",
        rows=tuple(rows),
        x="layer",
        y="head",
        value="attention",
        facet="what",
    )


def _one(quantity: str, control: str) -> Expected:
    return Expected(quantity=quantity, control=control, words="1", holds=lambda v: abs(v - 1) < 1e-9)


INSTRUMENT = Instrument(
    name=NAME,
    question="Which heads look at the examples' numbers when an answer is due, and are they more than induction heads?",
    measure=number_attention,
    needs="a language model",
    quantities=(FEATURES.name, OUTPUTS.name, INDUCTION.name, OVERLAP, COMMON),
    coordinates=("layer", "head"),
    sizes=sizes(n=(8, 24, 100)),
    figure=figure,
    expected=(
        *(_one(quantity.name, ONLY) for quantity in (FEATURES, OUTPUTS, INDUCTION)),
        _one(OVERLAP, ITSELF),
        _one(COMMON, ITSELF),
    ),
)

__all__ = ("INSTRUMENT", "NAME", "induction_scores", "number_attention")
