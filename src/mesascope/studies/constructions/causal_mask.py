"""What a causal mask does to hand-built networks: which of them still solve every prefix, and where the others end."""

from collections.abc import Callable, Sequence

from torch import Tensor

from mesascope.algorithms import Algorithm, ConjugateGradient, DataSpaceConjugateGradient, GradientDescent, LeastSquares
from mesascope.instruments.attending.causal_mask import ALONE, DISTANCE, NAME, UNMASKED, triangular_interpolant
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import lines, only
from mesascope.studies.rules import where
from mesascope.studies.study import Study, own
from mesascope.tasks import LinearRegression, Uniform
from mesascope.types import Figure, Measurement, Prompts

TASK = LinearRegression(dim=4, examples=12, queries=4, noise=0.5, inputs=Uniform())
STEP_SIZE = 0.15
"""Under a causal mask, gradient descent converges if ηx·x < 2 for every input; here x·x is at most 12."""
STEPS = 3
"""Number of steps after which iterates are compared."""
SMALLEST = 1e-17
"""Smaller values are drawn at this value, because a logarithmic axis has no zero."""
DESCENT, DUAL, DATA, PRIMAL = (
    "gradient-descent",
    "conjugate-gradient",
    "data-space-conjugate-gradient",
    "primal-conjugate-gradient",
)
MIXING = (DESCENT, DUAL, DATA)
"""Networks that hold a vector of weight space as one number per token."""
EARLY, END = f"{STEPS} steps", "the end"
ITERATE, SOLUTION, INTERPOLANT = (
    "its algorithm on the prefix",
    "least squares on the prefix",
    "the triangular interpolant",
)
LEAST_SQUARES = LeastSquares()
LAYERS = 1000  # of gradient descent, to come near its limit
LONG = range(TASK.dim + 1, TASK.examples + 1)
"""Prefixes on which least squares does not interpolate."""


def _measure(
    network: str,
    options: str,
    algorithm: Algorithm = LEAST_SQUARES,
    *,
    after: str = END,
    against: str = SOLUTION,
    limit: Callable[[Prompts], Tensor] | None = None,
) -> Measure:
    return Measure(
        instrument=NAME,
        network=f"construction:{network}?{options}",
        label={"network": network, "after": after, "against": against},
        prompts={"n": 64},
        options={"algorithm": algorithm, "steps": STEPS if after == EARLY else 1, "limit": limit},
        task=TASK,
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    rows = tuple(
        {
            "prefix": m.coordinates["prefix"],
            **{
                name: max(value, SMALLEST)
                for name, value in zip(("distance", "low", "high"), (m.value, *m.interval), strict=True)
            },
            "network": m.coordinates["network"],
            "compared": f"{m.coordinates['after']}: {m.coordinates['against']}",
            "n": m.n,
        }
        for m in only(found, token="example")
        if m.interval
    )
    figure = lines(
        name="causal-mask",
        section="Causal mask",
        title="How far a token's answer under a causal mask is from what its own prefix gives",
        caption=f"Median over prompts and quartiles, in standard deviations of the target; values below {SMALLEST:g} are drawn "
        f"at {SMALLEST:g}. Without the mask every network is within 1e-14 of the answer from all examples.",
        rows=rows,
        x="prefix",
        y="distance",
        series="network",
        facet="compared",
        titles={"prefix": "examples seen"},
        log=("y",),
    )
    return (figure,)


STUDY = Study(
    name="causal-mask",
    source="own",
    title="Which hand-built networks still solve every prefix under a causal mask?",
    measures=(
        _measure(
            DESCENT,
            f"layers={STEPS}&step_size={STEP_SIZE}",
            GradientDescent(step_size=STEP_SIZE),
            after=EARLY,
            against=ITERATE,
        ),
        *(
            _measure(network, f"iterations={STEPS}", algorithm, after=EARLY, against=ITERATE)
            for network, algorithm in (
                (DUAL, ConjugateGradient()),
                (DATA, DataSpaceConjugateGradient()),
                (PRIMAL, ConjugateGradient()),
            )
        ),
        _measure(DESCENT, f"layers={LAYERS}&step_size={STEP_SIZE}"),
        *(_measure(network, f"iterations={TASK.examples}") for network in (DUAL, PRIMAL)),
        _measure(DESCENT, f"layers={LAYERS}&step_size={STEP_SIZE}", against=INTERPOLANT, limit=triangular_interpolant),
    ),
    claims=(
        own(
            "Without the mask, every network gives the answer from all examples, and each query's answer does not depend on the "
            "other queries.",
            where(DISTANCE, control=UNMASKED).between(high=1e-13),
            where(DISTANCE, control=ALONE, token="query").between(high=1e-13),
        ),
        own(
            "Conjugate gradient in primal form, whose tokens store their vectors, solves every prefix to rounding.",
            where(DISTANCE, network=PRIMAL).between(high=1e-11),
        ),
        own(
            "Networks that hold a vector as one number per token solve the first prefix, where there is nothing to mix. They "
            "solve no prefix of more than four examples, nor the problem of a query.",
            where(DISTANCE, network=MIXING, after=EARLY, token="example", prefix=1).between(high=1e-14),
            where(DISTANCE, network=MIXING, after=EARLY, token="example", prefix=LONG).between(low=1e-3),
            where(DISTANCE, network=MIXING, after=EARLY, token="query").between(low=1e-3),
        ),
        own(
            "At the end, gradient descent and the dual form of conjugate gradient answer their own labels, noise included. This "
            "is least squares while there are fewer examples than dimensions, and not once there are more.",
            where(
                DISTANCE,
                network=(DESCENT, DUAL),
                against=SOLUTION,
                token="example",
                prefix=range(1, TASK.dim),
            ).between(high=1e-3),
            where(DISTANCE, network=(DESCENT, DUAL), against=SOLUTION, token="example", prefix=LONG).between(low=0.01),
        ),
        own(
            "Gradient descent ends at the triangular interpolant, (1/n) x·XᵀL⁻¹Dy at a query.",
            where(DISTANCE, against=INTERPOLANT).between(high=1e-6),
        ),
    ),
    figures=_figures,
    departures=(
        "Nobody published this. The rules were written after the numbers had been looked at; the page on "
        "hand-built networks tells what they mean. Intervals are quartiles over prompts.",
        "With noisy labels the kernel system of data-space conjugate gradient has no solution, so only its early iterates are "
        "compared.",
    ),
)
