"""Source D's comparison: which regressor is a language model like that reads numbers in its prompt?"""

import dataclasses
from collections.abc import Sequence

from mesascope.instruments.regressing import along, beside
from mesascope.instruments.regressing.errors import DIFFERENCE, OVER_MEAN, SUBJECT, UNANSWERED
from mesascope.instruments.regressing.likelihood import ALIKE
from mesascope.instruments.regressing.resemblance import ITSELF, LEFT
from mesascope.studies.bench import Bench
from mesascope.studies.language_models import regressors_pictures as pictures
from mesascope.studies.language_models.networks import LADDER, SHUFFLED, SMOLLM2
from mesascope.studies.language_models.pooling import change, lead, over_sets
from mesascope.studies.language_models.regressors_pictures import COPYING
from mesascope.studies.measure import Measure
from mesascope.studies.rules import where
from mesascope.studies.study import Study, own, sourced
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
SMOKE = ("ladder-small", SHUFFLED)
FEW = ("linear-regression", "knn-5", COPYING, "mean", "last")
"""The regressors of profile ``smoke``."""
SOME, MOST = 0.1, 0.05


def _beside(network: str, reference: str) -> tuple[Measure, ...]:
    """A model on every data set."""
    return tuple(
        Measure(
            instrument=beside.NAME,
            network=reference,
            label={"network": network, "data set": name},
            prompts={"n": PROMPTS, "again": AGAIN},
            task=dataclasses.replace(DATASETS[name], examples=EXAMPLES),
            at_smoke=False,
        )
        for name in SETS
    )


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


def _curve(network: str, reference: str) -> Measure:
    return Measure(
        instrument=along.NAME,
        network=reference,
        label={"network": network, "data set": CURVED},
        prompts={"n": LONG},
        task=DATASETS[CURVED],
        at_smoke=False,
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
        *_beside(SMOLLM2, SMOLLM2),
        _curve(SMOLLM2, SMOLLM2),
        *(m for name, reference in ABROAD.items() for m in (*_beside(name, reference), _curve(name, reference))),
        *(_on_digits(name) for name in (*LADDER, SHUFFLED)),
    ),
    claims=(
        sourced(
            "A language model does linear and non-linear regression from the examples in its prompt: it errs less than "
            "answering their mean label.",
            over_sets(where(OVER_MEAN, network=SMOLLM2, regressor=SUBJECT), SETS).between(high=1),
        ),
        sourced(
            "It behaves like a learner by gradient descent on a linear model: its answers are more like linear regression's "
            "than any other regressor's.",
            lead(SMOLLM2, "linear-regression", SETS).between(low=0),
        ),
        own(
            "A regressor that answers in the model's place is identified.",
            *(where(LEFT, control=ITSELF, network=name).between(1, 1) for name in (SMOLLM2, *LADDER)),
        ),
        own(
            f"SmolLM2 answers with a number, but for {MOST:.0%} of the prompts at most.",
            over_sets(where(UNANSWERED, network=SMOLLM2), SETS).between(high=MOST),
        ),
        own(
            "It is none of the regressors on any of the five data sets: what the nearest leaves comes back.",
            *(where(LEFT, network=SMOLLM2, **{"data set": name}).between(0, 0) for name in SETS),
        ),
        own(
            "It errs more than copying the label of the nearest example does.",
            over_sets(where(DIFFERENCE, network=SMOLLM2, regressor=COPYING), SETS).between(low=0),
        ),
        own(
            "First tokens, which source D compares, do not tell a pair of regressors apart whose numbers differ in at least "
            f"{SOME:.0%} of the cases.",
            over_sets(where(ALIKE, network=SMOLLM2), SETS).between(low=SOME),
        ),
        own(
            "SmolLM2 learns from more examples: its error after 30 is below that after 2.",
            change(
                "error after 30 examples less that after 2",
                lambda count: where(along.ERROR, network=SMOLLM2, regressor=SUBJECT, examples=count),
                2,
                30,
            ).between(high=0),
        ),
        own(
            "It keeps up with the regressor that loses least: its regret per answer falls from the tenth example to the "
            "thirtieth.",
            change(
                "regret per answer after 30 examples less that after 10",
                lambda count: where(along.REGRET, network=SMOLLM2, examples=count),
                10,
                30,
            ).between(high=0),
        ),
        own(
            "The ladder, trained on affine maps, errs less than half as much as answering the mean digit; trained on shuffled "
            "labels it does not.",
            *(where(OVER_MEAN, network=name, regressor=SUBJECT).between(high=0.5) for name in LADDER),
            where(OVER_MEAN, network=SHUFFLED, regressor=SUBJECT).between(low=0.5),
        ),
        own(
            "Of all regressors, linear regression is what the ladder's answers are most like.",
            *(lead(name, "linear-regression", (DIGITS,)).between(low=0) for name in LADDER),
        ),
    ),
    figures=_figures,
    notes=lambda found, bench: pictures.sentences(found),
    departures=(
        "Source D prints no numbers of this comparison, so that its claims are its words; the rules were written after ten "
        "prompts of original-1 had been looked at, and before any other. Its model, Llama 3.1 8B, is measured where the user "
        "has it.",
        "Everybody sees the same 25 examples (source D shows the regressors 50), each prompt is a draw of its own, and 20 stand "
        "for its 100. Two decimals and the published text; a text that is no number is no answer, where the source's code counts "
        "it as 0.",
        "Source D compares the logits of the first tokens of two regressors' numbers, and takes the pair of tokens from one "
        "prompt for all. Here the verdict rests on the numbers that the model writes; likelihoods are of each prompt's own "
        "numbers, whole, and those of first tokens stand beside them.",
        "What answers alone cannot decide: by which steps a model comes to them. Gradient descent that has converged and a "
        "closed form give the same numbers; whether layers take steps is what `pretrained-signatures` asks.",
    ),
)
