"""Prompts that tell candidates apart, within a subject's domain."""

from dataclasses import dataclass

from mesascope.tasks import Diagonal, DigitLines, Gaussian, LinearRegression
from mesascope.types import Domain, NoisyTask, PooledTask, Task, adjusted, can_vary_inputs, glm_family, with_queries

CONDITIONS = (3.0, 30.0, 300.0)
BOUNDED_CONDITIONS = (3.0, 10.0, 30.0)
"""The same for binary labels and counts, whose inputs are never larger than in training."""
QUERIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A task to identify on.

    Attributes:
        name: ``training`` or ``discriminating``.
        words: its description in reports.
        task: where the prompts come from.
    """

    name: str
    words: str
    task: Task


def training(task: Task) -> Distribution:
    """The subject's training distribution, with 8 queries per prompt if there are as many: ratios at one are heavy-tailed."""
    noise = f", noise {task.noise:g}" if isinstance(task, NoisyTask) else ""
    size = "digits as (x − 4.5)/3, beside a constant" if isinstance(task, DigitLines) else f"d={task.dim}"
    words = f"training distribution ({size}, n={task.examples}{noise})"
    return Distribution(name="training", words=words, task=with_queries(task, QUERIES))


def discriminating(task: Task, domain: Domain) -> Distribution | None:
    """The standard discriminating prompts: XᵀX/n has one of three condition numbers, queries are isotropic.

    With isotropic queries and weights every eigenvector carries the same energy, so directions that converge slowly count as
    much as fast ones. The inputs' mean eigenvalue is that of training, and so is the labels' size. Eigenvectors are rotated
    for each prompt. A subject that takes any dimension gets at least eight, so that Krylov methods need several steps.

    A task with a pool of weights gets weights from its prior instead, so that who has learnt the pool by heart is told from
    who solves any regression. The pool has one dimension, which is kept.

    Where labels are binary or counts, the inputs' *largest* eigenvalue is the mean one of training, so that no linear predictor
    is larger than there: the mean of a count grows exponentially with it. Small eigenvalues then have little information, so the
    condition numbers are smaller. The dimension is kept, since the number of labels that determine a direction is.

    Returns:
        The distribution; ``None`` in one dimension, which has no conditioning to vary, and for a task that is neither linear nor
        generalised linear, or whose inputs cannot be replaced.
    """
    pooled = isinstance(task, PooledTask)
    if pooled:
        task = task.unpooled
    if not can_vary_inputs(task):
        return None
    generalised = glm_family(task) is not None
    dim = task.dim if domain.dims is not None or pooled or generalised else max(task.dim, 8)
    if dim == 1:
        return None
    examples = task.examples if domain.examples is not None else max(task.examples, 3 * dim)
    size = task.inputs.covariance.mean_eigenvalue(task.dim)
    conditions, scale = (BOUNDED_CONDITIONS, "largest") if generalised else (CONDITIONS, "mean")
    covariance = Diagonal(condition=conditions, scale=scale, size=size, rotate=True)
    inputs = Gaussian(covariance=covariance, exact=examples >= dim)
    queries = Gaussian(covariance=Diagonal(condition=1.0, size=size))
    besides = "; weights from the prior, not from the pool" if pooled else ""
    kappas = ", ".join(f"{c:g}" for c in conditions)
    return Distribution(
        name="discriminating",
        words=f"discriminating prompts (κ of XᵀX = {kappas}; isotropic queries{besides}; d={dim}, n={examples})",
        task=adjusted(task, dim=dim, examples=examples, queries=QUERIES, inputs=inputs, query_inputs=queries),
    )


def standard() -> Distribution:
    """The discriminating prompts of the default task for a subject that accepts all prompts."""
    found = discriminating(LinearRegression(), Domain())
    assert found is not None, "it has more than one dimension"
    return found
