"""Source D's comparison: which regressor is a language model like that reads numbers in its prompt?"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from mesascope.instruments.regressing import along, beside
from mesascope.instruments.regressing.errors import DIFFERENCE, OVER_MEAN, SUBJECT, UNANSWERED
from mesascope.instruments.regressing.likelihood import ALIKE
from mesascope.instruments.regressing.verdicts import ITSELF, LEAD, LEFT
from mesascope.studies.bench import Bench
from mesascope.studies.language_models import regressors_pictures as pictures
from mesascope.studies.language_models.networks import LADDER, SHUFFLED, SMOLLM2
from mesascope.studies.language_models.pooling import change, over_sets
from mesascope.studies.language_models.regressors_pictures import COPYING
from mesascope.studies.measure import Measure
from mesascope.studies.rules import where
from mesascope.studies.study import Claim, Study, own, sourced
from mesascope.tasks import DATASETS, DigitRegression
from mesascope.types import Figure, Measurement

EXAMPLES, PROMPTS, AGAIN = 25, 20, 10
"""Source D's number of examples; prompts of each data set, and how many of them are asked again."""
SETS = ("linear-1-of-1", "linear-2-of-2", "original-1", "original-2", "friedman-2")
"""Linear and not, of one, two and four inputs; the last two are those of source D."""
CURVED = "original-1"
"""The data set of the learning curve, of which a hundred examples fit into the context."""
LONG = 6
"""Long prompts of the learning curve."""
DIGITS = "digits"
"""The data set of the ladder, whose models read single digits."""
ABROAD = {"Gemma-3-270M": "hf:google/gemma-3-270m", "Llama-3.1-8B": "hf:meta-llama/Llama-3.1-8B"}
"""Models that are examined where the user has them; the second is source D's."""
WRITTEN = {SMOLLM2: "SmolLM2"}
"""Names in sentences that are not the networks' own."""
SMOKE = ("ladder-small", SHUFFLED)
FEW = ("linear-regression", "knn-5", COPYING, "mean", "last")
"""The regressors of profile ``smoke``."""
SOME, MOST = 0.1, 0.05


def _measures(network: str, reference: str, *, at_smoke: bool = False) -> tuple[Measure, ...]:
    """A model on every data set, and its learning curve; profile ``smoke`` takes at most the first data set."""
    shared: dict[str, Any] = {"network": reference}
    beside_regressors = (
        Measure(
            instrument=beside.NAME,
            label={"network": network, "data set": name},
            prompts={"n": PROMPTS, "again": AGAIN},
            task=dataclasses.replace(DATASETS[name], examples=EXAMPLES),
            at_smoke=at_smoke and name == SETS[0],
            smoke_options={"regressors": FEW},
            **shared,
        )
        for name in SETS
    )
    curve = Measure(
        instrument=along.NAME,
        label={"network": network, "data set": CURVED},
        prompts={"n": LONG},
        task=DATASETS[CURVED],
        at_smoke=False,
        **shared,
    )
    return (*beside_regressors, curve)


def _on_digits(network: str) -> Measure:
    """A model of the ladder, which reads digits in its own text."""
    return Measure(
        instrument=beside.NAME,
        network=network,
        label={"network": network, "data set": DIGITS},
        prompts={"n": PROMPTS, "again": AGAIN},
        options={"text": "own"},
        task=DigitRegression(examples=7),
        at_smoke=network in SMOKE,
        smoke_options={"regressors": FEW},
    )


def _published(network: str, sets: Sequence[str]) -> tuple[Claim, ...]:
    """Source D's claims, about one model."""
    return (
        sourced(
            "A language model does linear and non-linear regression from the examples in its prompt: it errs less than "
            "answering their mean label.",
            over_sets(where(OVER_MEAN, network=network, regressor=SUBJECT), sets).between(high=1),
        ),
        sourced(
            "It behaves like a learner by gradient descent on a linear model: its answers are more like linear regression's "
            "than any other regressor's.",
            over_sets(where(LEAD, network=network, regressor="linear-regression"), sets).between(low=0),
        ),
    )


def _ours(network: str, sets: Sequence[str]) -> tuple[Claim, ...]:
    """Our claims about one model, whichever its data sets."""
    name = WRITTEN.get(network, network)
    return (
        own(
            "A regressor that answers in the model's place is found there: alone, or with others that answer alike.",
            *(where(LEFT, control=ITSELF, network=network, **{"data set": each}).between(low=1) for each in sets),
        ),
        own(
            f"{name} answers with a number, but for {MOST:.0%} of the prompts at most.",
            over_sets(where(UNANSWERED, network=network), sets).between(high=MOST),
        ),
        own(
            "It is none of the regressors on any data set.",
            *(where(LEFT, network=network, **{"data set": each}).between(0, 0) for each in sets),
        ),
        own(
            "It errs more than copying the label of the nearest example does.",
            over_sets(where(DIFFERENCE, network=network, regressor=COPYING), sets).between(low=0),
        ),
        own(
            "First tokens, which source D compares, do not tell a pair of regressors apart whose numbers differ in at least "
            f"{SOME:.0%} of the cases.",
            over_sets(where(ALIKE, network=network), sets).between(low=SOME),
        ),
    )


def _learning(network: str) -> tuple[Claim, ...]:
    """Our claims about one model's learning curve."""
    return (
        own(
            f"{WRITTEN.get(network, network)} learns from more examples: its error after 30 is below that after 2.",
            change(
                "error after 30 examples less that after 2",
                lambda count: where(along.ERROR, network=network, regressor=SUBJECT, examples=count),
                2,
                30,
            ).between(high=0),
        ),
        own(
            "It keeps up with the regressor that loses least: its regret per answer falls from the tenth example to the "
            "thirtieth.",
            change(
                "regret per answer after 30 examples less that after 10",
                lambda count: where(along.REGRET, network=network, examples=count),
                10,
                30,
            ).between(high=0),
        ),
    )


def _of(reference: str) -> Study:
    """The study about one model; one of the ladder is asked about digits."""
    digits = reference in (*LADDER, SHUFFLED)
    sets = (DIGITS,) if digits else SETS
    return dataclasses.replace(
        STUDY,
        title=f"Which regressor is {WRITTEN.get(reference, reference)} like that reads numbers in its prompt?",
        measures=(_on_digits(reference),) if digits else _measures(reference, reference, at_smoke=True),
        claims=(
            *_published(reference, sets),
            *_ours(reference, sets),
            *(() if digits else _learning(reference)),
        ),
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    drawn = (
        pictures.verdicts(found),
        pictures.likeness(found),
        pictures.critical_differences(found),
        pictures.differences(found),
        pictures.errors(found),
        *pictures.learning(found),
    )
    return tuple(figure for figure in drawn if figure.rows)


STUDY = Study(
    name="regressors",
    source="D",
    title="Which regressor is a language model like that reads numbers in its prompt?",
    measures=(
        *_measures(SMOLLM2, SMOLLM2),
        *(m for name, reference in ABROAD.items() for m in _measures(name, reference)),
        *(_on_digits(name) for name in (*LADDER, SHUFFLED)),
    ),
    claims=(
        *_published(SMOLLM2, SETS),
        *_ours(SMOLLM2, SETS),
        *_learning(SMOLLM2),
        own(
            "The ladder, trained on affine maps, errs less than half as much as answering the mean digit; trained on shuffled "
            "labels it does not.",
            *(where(OVER_MEAN, network=name, regressor=SUBJECT).between(high=0.5) for name in LADDER),
            where(OVER_MEAN, network=SHUFFLED, regressor=SUBJECT).between(low=0.5),
        ),
        own(
            "Of all regressors, linear regression is what the ladder's answers are most like.",
            *(where(LEAD, network=name, regressor="linear-regression").between(low=0) for name in LADDER),
        ),
    ),
    figures=_figures,
    notes=lambda found, bench: pictures.sentences(found),
    departures=(
        "Source D prints no numbers of this comparison, so that its claims are its words; the rules were written after ten "
        "prompts of original-1 had been looked at, and before any other. That a regressor must be clearly nearer than one number "
        "for all prompts was added after three data sets; without it, 29 of 37 would be left on linear-1-of-1. Its model, Llama "
        "3.1 8B, is measured where the user has it.",
        "Everybody sees the same 25 examples (source D shows the regressors 50), each prompt is a draw of its own, and 20 stand "
        "for its 100. Two decimals and the published text; a text that is no number is no answer, where the source's code counts "
        "it as 0.",
        "Source D compares the logits of the first tokens of two regressors' numbers, and takes the pair of tokens from one "
        "prompt for all. Here the verdict rests on the numbers that the model writes; likelihoods are of each prompt's own "
        "numbers, whole, and those of first tokens stand beside them.",
        "What answers alone cannot decide: by which steps a model comes to them. Gradient descent that has converged and a "
        "closed form give the same numbers; whether layers take steps is what `pretrained-signatures` asks.",
    ),
    of=_of,
)
