"""Do networks for binary labels and counts follow Newton's method, as source A supposes, or descend, or neither?"""

import functools
from collections.abc import Sequence
from typing import Any, get_args

from mesascope.algorithms import (
    Algorithm,
    GLMGradientDescent,
    GLMNewton,
    GLMNewtonCG,
    GLMPenalisedLikelihood,
    GLMPosteriorMean,
)
from mesascope.instruments.behaving import errors
from mesascope.instruments.explaining.instrument import NAME as EXPLANATION
from mesascope.instruments.explaining.instrument import SHARE
from mesascope.instruments.identification import following
from mesascope.instruments.identification.following import LEFT, REMAINDER, SCORE, nearest
from mesascope.instruments.identification.remainder import REPEATED
from mesascope.models.scripted import Scripted, followed
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure, Referenced
from mesascope.studies.pictures import only, rows
from mesascope.studies.rules import where
from mesascope.studies.study import Study, own
from mesascope.tasks import Diagonal, Gaussian, GeneralisedLinearRegression
from mesascope.types import Figure, GlmFamily, Measurement

FAMILIES: tuple[GlmFamily, ...] = get_args(GlmFamily)
STRENGTH: dict[GlmFamily, float] = {"logistic": 2.0, "poisson": 1.0}
BUILT, IRLS, NEWTON_CG, DESCENT = "hand-built Newton–CG", "IRLS", "Newton–CG", "gradient descent"
TRAINED, SOLUTION, POSTERIOR = "trained", "penalised solution", "posterior mean"
STEPS = {"logistic": 1.0, "poisson": 0.1}
"""Step sizes of gradient descent with which most prompts converge."""
INNER, RIDGE = 2, 1.0
EXPECTED = {
    BUILT: f"glm-newton-cg:{INNER}-inner",
    IRLS: "glm-newton",
    NEWTON_CG: "glm-newton-cg:3-inner",
    DESCENT: "glm-gradient-descent",
}
"""What each subject with a known path must be identified as. Profile ``smoke`` has no other candidates."""
AT_SMOKE = (
    (BUILT, "logistic", "discriminating"),
    (DESCENT, "logistic", "discriminating"),
    (TRAINED, "logistic", "discriminating"),
    (IRLS, "poisson", "discriminating"),
    (NEWTON_CG, "poisson", "discriminating"),
    (TRAINED, "poisson", "training"),
)
"""Who is identified at ``smoke``, with which labels, and on which prompts."""
RIDGES = {"logistic": 1.0, "poisson": 3.0}
"""Penalties near the best ones, of those that were tried (0.1 to 3)."""
N = 60
"""Prompts in each half for a verdict."""
LAYERS = range(1, 5)


def task(family: GlmFamily) -> GeneralisedLinearRegression:
    """What the networks are trained on, with one query per prompt: condition numbers 1, 3 and 10 in turn, rotated at random."""
    inputs = Gaussian(covariance=Diagonal(condition=(1.0, 3.0, 10.0), rotate=True))
    return GeneralisedLinearRegression(dim=5, examples=40, family=family, strength=STRENGTH[family], inputs=inputs)


def planted(name: str, family: GlmFamily) -> Scripted:
    """A subject that takes one step of a method per layer; of a closed form, its answer in one layer."""
    methods: dict[str, Algorithm] = {
        IRLS: GLMNewton(family=family, ridge=RIDGE),
        NEWTON_CG: GLMNewtonCG(family=family, inner=3, ridge=RIDGE),
        DESCENT: GLMGradientDescent(family=family, step_size=STEPS[family]),
        SOLUTION: GLMPenalisedLikelihood(family=family, ridge=RIDGES[family]),
        POSTERIOR: GLMPosteriorMean(family=family, strength=STRENGTH[family]),
    }
    return followed(f"{name}, {family}", methods[name], LAYERS if name in EXPECTED else [1])


irls_logistic, irls_poisson = (functools.partial(planted, IRLS, f) for f in FAMILIES)
newton_cg_logistic, newton_cg_poisson = (functools.partial(planted, NEWTON_CG, f) for f in FAMILIES)
descent_logistic, descent_poisson = (functools.partial(planted, DESCENT, f) for f in FAMILIES)
solution_logistic, solution_poisson = (functools.partial(planted, SOLUTION, f) for f in FAMILIES)
posterior_logistic, posterior_poisson = (functools.partial(planted, POSTERIOR, f) for f in FAMILIES)
FACTORIES = {
    IRLS: "irls",
    NEWTON_CG: "newton_cg",
    DESCENT: "descent",
    SOLUTION: "solution",
    POSTERIOR: "posterior",
}


def _reference(name: str, family: GlmFamily) -> str:
    if name == TRAINED:
        return f"glm-{family}-laptop"
    if name == BUILT:
        return f"construction:glm-newton?steps=3&inner={INNER}&ridge={RIDGE}&family={family}"
    return f"python:{__name__}:{FACTORIES[name]}_{family}"


def _measure(instrument: str, name: str, family: GlmFamily, **more: Any) -> Measure:
    label = {"network": name, "labels": family, **more.pop("label", {})}
    return Measure(instrument=instrument, network=_reference(name, family), label=label, task=task(family), **more)


def _rivals(family: GlmFamily) -> dict[str, Referenced]:
    return {name: Referenced(reference=_reference(name, family)) for name in (POSTERIOR, SOLUTION, IRLS, DESCENT)}


def _verdict(name: str, family: GlmFamily, on: str = "discriminating") -> Measure:
    few = {"candidates": tuple(EXPECTED.values())}
    return _measure(
        following.NAME,
        name,
        family,
        label={"on": on},
        prompts={"n": N},
        options={"where": on},
        at_smoke=(name, family, on) in AT_SMOKE,
        smoke_options=few,
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    scores = tuple(
        {
            "candidate": m.coordinates["candidate"],
            "score": max(m.value, 0.0),
            "network": m.coordinates["network"],
            "labels": m.coordinates["labels"],
        }
        for m in only(found, quantity=SCORE, on="discriminating")
        if str(m.coordinates["candidate"]) in (*EXPECTED.values(), "conjugate-gradient", "gradient-descent")
    )
    held_out = rows(found, errors.OVER.name, "ratio", over="over", labels="labels")
    return (
        Figure(
            name="scores",
            section="Which method the layers follow",
            title="Scores of candidates for the path, on discriminating prompts",
            caption="1 is exact, 0 no better than doing nothing. Negative scores are drawn at 0.",
            kind="bars",
            rows=scores,
            x="candidate",
            y="score",
            series="network",
            facet="labels",
        ),
        Figure(
            name="errors",
            section="How good the answers are",
            title="Held-out error of the trained networks, over that of reference learners",
            caption="Below 1, the network is better. The posterior mean is computed by importance sampling and estimates the "
            "inputs' covariance, of which the networks can have learned more.",
            kind="bars",
            rows=held_out,
            x="over",
            y="ratio",
            low="low",
            high="high",
            series="labels",
        ),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    return tuple(
        f"The trained network for {m.coordinates['labels']} labels is nearest to {nearest(m)} on {m.coordinates['on']} prompts; "
        f"the verdict is {m.coordinates['label']}."
        for m in only(found, quantity=LEFT, network=TRAINED)
    )


STUDY = Study(
    name="likelihood",
    source="own",
    title="Do networks for binary labels and counts run Newton's method?",
    measures=(
        *(_verdict(name, family) for family in FAMILIES for name in EXPECTED),
        *(_verdict(TRAINED, family, on) for family in FAMILIES for on in ("discriminating", "training")),
        *(_measure(EXPLANATION, TRAINED, family, prompts={"prompts": N}) for family in FAMILIES),
        *(
            _measure(errors.NAME, TRAINED, family, prompts={"n": 512}, options={"rivals": _rivals(family)})
            for family in FAMILIES
        ),
    ),
    claims=(
        own(
            "The hand-built network is identified as Newton's method with its own number of steps of conjugate gradients, for "
            "binary labels and counts. So are IRLS, another number of such steps, and gradient descent on the likelihood, each "
            "as itself, and each leaves nothing.",
            *(
                rule
                for name, candidate in EXPECTED.items()
                for rule in (
                    where(LEFT, network=name, nearest=candidate).between(1, 1),
                    where(REMAINDER, network=name, nearest=candidate).between(high=1e-4),
                )
            ),
        ),
        own(
            "The networks trained on the squared error of the linear predictor follow no candidate: the nearest leaves more than "
            "is allowed, on their training prompts too.",
            where(LEFT, network=TRAINED).between(0, 0),
            where(REMAINDER, network=TRAINED).between(low=REPEATED),
        ),
        own(
            "They compute no penalised solution either: their error is below that of the penalised solution, and at most 2 % "
            "above that of the posterior mean.",
            where(errors.OVER, over=SOLUTION).between(high=1.0),
            where(errors.OVER, over=POSTERIOR).between(high=1.02),
        ),
        own(
            "Their answers are linear in the query, and not in the labels.",
            where(SHARE, network=TRAINED, **{"class": "labels and query"}).between(low=0.98),
            where(SHARE, network=TRAINED, **{"class": "labels"}).between(high=0.98),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Source A names generalised linear models as an extension and prints no figures: the claims are ours. The rules were "
        "written after the network for binary labels had been looked at, and before the one for counts was trained.",
        "The networks have four layers of width 64, and are trained for a quarter of an hour on one core each.",
    ),
)
