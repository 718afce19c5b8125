"""The best single gradient step, which one layer of linear self-attention can take: from a sample, and derived on paper.

Source: von Oswald et al. 2023, §3, who compare a trained layer with one gradient step whose size is optimised.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import GradientDescent, run
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.metrics.panel import NAME
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners
from mesascope.tasks import Gaussian, Laplace, Rademacher, Uniform
from mesascope.types import Measurement, PrescribableTask, Prompts, adjusted

KURTOSIS = {Gaussian: 3.0, Uniform: 1.8, Laplace: 6.0, Rademacher: 1.0}
"""The kurtosis of one coordinate, E x⁴/(E x²)², by the kind of inputs."""

STEP = Quantity(name="best step, η/N", combine=lambda means: means[:, 0] / means[:, 1])
HALF = Quantity(
    name="half mean squared error of the best step",
    combine=lambda means: (means[:, 2] - means[:, 0].square() / means[:, 1]) / 2,
    unit="y²",
)
OTHERS = "another prompt's targets"


def one_step(prompts: Prompts) -> GradientDescent:
    """Gradient descent with the step size η (for the mean gradient) whose first step has the least error, in closed form.

    The answers after one step are (η/N)·g with g = x_qᵀXᵀy, so the best η/N is the mean of g·target over the mean of g²,
    both over all queries. The error is the plain mean squared error, as in the source; `algorithms.tuned` divides each
    prompt's error by its target's variance and takes any number of steps.

    Raises:
        NotApplicable: the best η is not above 0.
    """
    numerator, denominator = _products(prompts, prompts.targets).mean(0)[:2].tolist()
    if not numerator > 0:
        raise NotApplicable("a gradient step does not help on these prompts: the best step size is not above 0.")
    return GradientDescent(step_size=prompts.examples * numerator / denominator)


def exact(
    *, dim: int, examples: int, variance: float, kurtosis: float, weight_variance: float = 1.0, noise: float = 0.0
) -> tuple[float, float]:
    """η/N of the best step, and half its mean squared error, for independent coordinates of mean 0 and equal variance.

    One step from 0 gives ŵ = a·Xᵀy with a = η/N and y = Xw + ε, so w − ŵ = (I − aA)w − aXᵀε with A = XᵀX. Let s be the
    variance of a coordinate, κ its kurtosis, τ² that of the weights and σ² that of the noise. The query is independent, so

        E (x_qᵀ(w − ŵ))² = s·[τ² E tr(I − aA)² + a²σ² E tr A].

    A is a sum of N terms xxᵀ: E tr A = N·d·s, and of the N² pairs in tr A² the N equal ones give
    E|x|⁴ = d·κs² + d(d−1)s² and the N(N−1) others tr E[xxᵀ]² = d·s². Hence E tr A² = N·d·s²·(N + d − 2 + κ), the error is
    a parabola in a, and

        a* = τ² E tr A / (τ² E tr A² + σ² E tr A)        = 1 / (s·(N + d − 2 + κ)) without noise,
        ½ E(…)² = ½·s·τ²·(d − a* E tr A)                 = ½·s·τ²·d·(1 − N/(N + d − 2 + κ)) without noise.

    For d = N = 10 and x ~ U(±½) (s = 1/12, κ = 9/5): a* = 12/19.8 = 0.606 and ½·(10/12)·(9.8/19.8) = 0.2062. For U(±1)
    (s = 1/3): 0.1515 and 0.825.

    Args:
        dim, examples: d and N.
        variance, kurtosis: s and κ of one coordinate of an input.
        weight_variance: τ².
        noise: σ, a standard deviation.
    """
    trace = examples * dim * variance
    square = trace * variance * (examples + dim - 2 + kurtosis)
    best = weight_variance * trace / (weight_variance * square + noise**2 * trace)
    return best, variance * weight_variance * (dim - best * trace) / 2


def oracle(task: PrescribableTask, *, seed: int = 0, n: int = 4096, queries: int = 8) -> tuple[Measurement, ...]:
    """η/N of the best step, and half its mean squared error, estimated from prompts.

    Controls. Positive: the value derived on paper (`exact`). Negative: the step fitted to the targets of another prompt,
    where no step is better than answering zero.

    Args:
        task: a task whose inputs have independent coordinates of equal variance, as the derivation assumes. A uniform input
            from −r to r is ``Uniform(covariance=Eigenvalues(values=(r**2 / 3,) * dim))``.
        seed: of the prompts and the resampling.
        n: number of prompts.
        queries: queries per prompt.

    Raises:
        NotApplicable: the inputs are of another kind.
    """
    variance, kurtosis = _coordinate(task)
    best, half = exact(
        dim=task.dim,
        examples=task.examples,
        variance=variance,
        kurtosis=kurtosis,
        weight_variance=task.weight_variance,
        noise=task.noise,
    )
    prompts = adjusted(task, queries=queries).sample(n, seed=seed, stream=f"{NAME}/oracle")
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    sums, wrong = (_products(prompts, t) for t in (prompts.targets, prompts.targets[partners(prompts)]))
    return tuple(
        measure(
            NAME,
            quantity,
            sums,
            draws,
            coordinates={"reference": GradientDescent.name, "source": "von Oswald et al. 2023"},
            positive={"on paper": known},
            negative={OTHERS: wrong},
        )
        for quantity, known in ((STEP, best), (HALF, half))
    )


def _products(prompts: Prompts, targets: Float[Tensor, "batch query"]) -> Float[Tensor, "batch 3"]:
    """Each prompt's means over queries of g·target, g² and target², where g = x_qᵀXᵀy is the answer after a step η = N."""
    g = run(GradientDescent(step_size=float(prompts.examples)), prompts, 1, dtype=torch.float64).predictions[1]
    target = targets.to(g)
    return torch.stack([(g * target).mean(-1), g.square().mean(-1), target.square().mean(-1)], -1)


def _coordinate(task: PrescribableTask) -> tuple[float, float]:
    """Variance and kurtosis of one input coordinate.

    Raises:
        NotApplicable: the coordinates are not independent with equal variance, or queries have other inputs.
    """
    inputs = task.inputs
    kurtosis = KURTOSIS.get(type(inputs))
    values = inputs.covariance.eigenvalues(task.dim, 0, 1, torch.Generator())[0]
    several, equal = len(inputs.covariance.names) > 1, bool((values == values[0]).all())
    if kurtosis is None or inputs.exact or task.query_inputs is not None or several or not equal:
        known = ", ".join(kind.__name__ for kind in KURTOSIS)
        raise NotApplicable(
            f"the best step is known on paper for independent coordinates of equal variance ({known}), queries like the "
            f"examples, no exact conditioning; the task has {inputs}."
        )
    return float(values[0]), kurtosis
