"""Does a language model's regression in context look like gradient descent, or like conjugate gradient?"""

from collections.abc import Sequence

from mesascope.algorithms import ConjugateGradient, GradientDescent
from mesascope.instruments.explaining import instrument as explanation
from mesascope.instruments.explaining.instrument import SHARE
from mesascope.instruments.identification import following
from mesascope.instruments.identification.following import LEFT, REMAINDER, SCORE, nearest
from mesascope.models.scripted import Scripted, followed_in_digits
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.networks import LADDER, SHUFFLED, SMOLLM2
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import heatmap, only, table
from mesascope.studies.rules import where
from mesascope.studies.study import Study, own
from mesascope.tasks import DigitRegression
from mesascope.types import Figure, Measurement

DESCENT, CONJUGATE = "planted gradient descent", "planted conjugate gradient"
MODELS = (*LADDER, SHUFFLED, SMOLLM2)
SMOKE = ("ladder-small", SHUFFLED)
PROMPTS, FEWER = 75, 32
"""Prompts in each half; the second of SmolLM2, which takes seconds per prompt."""
KNOWN = ("gradient-descent", "conjugate-gradient", "newton-schulz")
"""The candidates of profile ``smoke``."""
HOLDS = 0.98
"""Share of the answers from which on a class explains them."""


def descent() -> Scripted:
    """Four steps of gradient descent on the digits' values, one per layer."""
    return followed_in_digits(DESCENT, GradientDescent(step_size=0.3), (1, 2, 3, 4))


def conjugate() -> Scripted:
    """Two steps of conjugate gradient, one per layer: with a constant beside the input, the solution."""
    return followed_in_digits(CONJUGATE, ConjugateGradient(), (1, 2))


PLANTED = {DESCENT: descent, CONJUGATE: conjugate}


def _measures(name: str, reference: str) -> tuple[Measure, Measure]:
    """The path and the explanation of one model. Planted subjects have no task of their own."""
    at_smoke = name in (*SMOKE, *PLANTED)
    count = FEWER if name == SMOLLM2 else PROMPTS
    task = DigitRegression() if name in PLANTED else None
    return (
        Measure(
            instrument=following.NAME,
            network=reference,
            label={"network": name},
            prompts={"n": count},
            smoke_options={"candidates": KNOWN},
            task=task,
            at_smoke=at_smoke,
        ),
        Measure(
            instrument=explanation.NAME,
            network=reference,
            label={"network": name},
            prompts={"prompts": count},
            task=task,
            at_smoke=name in SMOKE,
        ),
    )


def _verdicts(found: Sequence[Measurement]) -> Figure:
    rows = []
    for m in only(found, quantity=LEFT):
        network = m.coordinates["network"]
        scores, left = (only(found, quantity=q, network=network) for q in (SCORE, REMAINDER))
        rows.append(
            {
                "network": network,
                "verdict": m.coordinates["label"],
                "nearest candidate": nearest(m),
                "score": scores[0].value if scores else None,
                "remainder": left[0].value if left else None,
                "n": m.n,
            }
        )
    return table(
        name="verdicts",
        section="The path of the layers",
        title="Which candidate's path the layers take",
        caption="Digits are read as (x − 4.5)/3 beside a constant, so that an affine map is linear. A score of 1 is exact, 0 no "
        "better than answering the middle of the digits. Remainder: the share of the model's variance that the nearest candidate "
        "leaves and that comes back when the examples stand in another order. Planted subjects are the controls.",
        rows=tuple(rows),
    )


def _classes(found: Sequence[Measurement]) -> Figure:
    rows = tuple(
        {"network": m.coordinates["network"], "class": m.coordinates["class"], "share": max(0.0, m.value)}
        for m in only(found, quantity=SHARE)
    )
    return heatmap(
        name="classes",
        section="The function",
        title="How much of the answers each class explains",
        caption="Share of the answers on held-out prompts that a member of the class explains, 0 if it is less than nothing. "
        "“Labels” is asked by exchanging the labels of two maps at every second example, which no training text has.",
        rows=rows,
        x="network",
        y="class",
        value="share",
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_verdicts(found), _classes(found))


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    told = []
    for m in only(found, quantity=LEFT):
        shares = only(found, quantity=SHARE, network=m.coordinates["network"])
        named = next((s for s in shares if s.coordinates["class"] == "function"), None)
        what = "" if named is None else f"; {named.coordinates['member']} explains {named.value:.1%} of its answers"
        told.append(f"{m.coordinates['network']}: {m.coordinates['label']}, nearest {nearest(m)}{what}.")
    return (" ".join(told),)


STUDY = Study(
    name="pretrained-signatures",
    source="A",
    title="Does a language model's regression in context look like gradient descent, or like conjugate gradient?",
    measures=(
        *(m for name, made in PLANTED.items() for m in _measures(name, f"python:{__name__}:{made.__name__}")),
        *(m for name in MODELS for m in _measures(name, name)),
    ),
    claims=(
        own(
            "Where a subject that reads digits does run gradient descent or conjugate gradient, the identifier says so.",
            where(LEFT, network=DESCENT, nearest="gradient-descent").between(1, 1),
            where(SCORE, network=CONJUGATE, candidate="conjugate-gradient").between(low=0.999),
            where(LEFT, network=CONJUGATE).between(low=1),
        ),
        own(
            "No model of the ladder takes the path of a candidate, layer by layer.",
            *(where(LEFT, network=name).between(0, 0) for name in (*LADDER, SHUFFLED)),
        ),
        own(
            "Nor does SmolLM2.",
            where(LEFT, network=SMOLLM2).between(0, 0),
        ),
        own(
            f"Models that are trained on affine maps compute least squares: it explains {HOLDS:.0%} of their answers.",
            *(where(SHARE, network=name, **{"class": "function"}).between(low=HOLDS) for name in LADDER),
        ),
        own(
            "They do so for labels of one map only: with the labels of two maps mixed, they are not linear in the labels.",
            *(where(SHARE, network=name, **{"class": "labels"}).between(high=HOLDS) for name in LADDER),
        ),
        own(
            "SmolLM2 computes no function of this kind: neither a named one nor any fixed filter explains its answers.",
            where(SHARE, network=SMOLLM2, **{"class": "function"}).between(high=HOLDS),
            where(SHARE, network=SMOLLM2, **{"class": "filter"}).between(high=HOLDS),
        ),
        own(
            "The model that is trained on shuffled labels does not regress: least squares and its like explain less than half of "
            "its answers.",
            where(SHARE, network=SHUFFLED, **{"class": "function"}).between(high=0.5),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Source A names the question as its next step, and prints no figures: the claims are ours. The rules were written after "
        "the smallest model of the ladder had been looked at, and before any other.",
        "The path is read by the model's own readout, the expected digit under the logit lens.",
    ),
)
