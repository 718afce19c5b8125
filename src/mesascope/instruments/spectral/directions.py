"""Directions: which eigenvectors of XᵀX/n a subject resolves, and along which of them its errors lie.

The channel shares c of `mesascope.instruments.spectral.channels` sum to the least-squares answer. A regression of the
subject's answers on the shares, ordered by eigenvalue, gives one *gain* per direction: 1 where the direction is resolved, 0
where the answers do not use it, above 1 where the subject overshoots. `spectrum` estimates one filter f(λ) on inputs with a
spectrum of its own choice; this instrument examines the task's own distribution, however it is conditioned.

The errors are split by direction too. With many queries per prompt, the gains of one prompt are fitted to the errors at half
of its queries and compared with the errors at the other half; what remains is not linear in the query.

Source: the two-to-eight-layer study asserts that a scalar cannot replace (XᵀX)⁻¹ on anisotropic inputs.
Departs from source: the study does not examine single directions.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import GradientDescent, LeastSquares, run
from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners, ratio
from mesascope.types import Figure, Measurement, Prompts, Scalar, Subject, Task, adjusted, bounds

NAME = "directions"
GAIN = "gain"
FORM = "R² of one gain a direction"
SHARE = Quantity(name="share of squared error", combine=ratio)
REST = "not linear in the query"

MOMENT = "Xᵀy/n, whose gain is the eigenvalue"
"""The planted case: one step of gradient descent with step size 1."""

REFERENCE = 128  # number of prompts on which the untrained network is run


def directions(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 256, queries: int = 32
) -> tuple[Measurement, ...]:
    """Gain and share of the squared error by direction, from the largest eigenvalue (rank 1) to the smallest.

    The gains minimise Σ (ŷ − Σ_r g_r c_r)² over all queries of all prompts, each prompt's terms divided by the variance of
    its target; their R² says how well one gain per direction describes the answers. The share of direction r in the squared
    error (not normalised) is Σ e·(γ_r c_r) / Σ e², with e = ŷ − y and γ fitted to the errors at the other half of the
    prompt's queries. These shares and that of ``not linear in the query`` sum to 1; as estimates from halves, single ones
    may be slightly below 0. Intervals resample prompts.

    Controls. Positive: least squares (gain 1, R² 1) and Xᵀy/n (the gain is the eigenvalue, the error is linear in the
    query). Negative: the answers with another prompt's channels (for the error: another prompt's answers) and the untrained
    network.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts.
        queries: queries per prompt, at least two per direction, so that each half determines the gains.

    Raises:
        NotApplicable: there are fewer examples than dimensions.
        ValueError: there are fewer than two queries per direction.
    """
    if task.examples < task.dim:
        raise NotApplicable(f"every direction must be shown: examples >= dim; got {task.examples} and {task.dim}.")
    if queries < 2 * task.dim:
        raise ValueError(f"queries must be at least 2·dim = {2 * task.dim}; got {queries}. Ask more of each prompt.")
    prompts = adjusted(task, queries=queries).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    channels = SpectralChannels.of(prompts)
    shares = channels.shares.flip(-1)
    other = partners(prompts)
    own = answers(subject, prompts)
    moment = run(GradientDescent(step_size=1.0), prompts, 1).predictions[1]
    fresh = untrained(subject, seed)
    blank = {} if fresh is None else {"untrained network": answers(fresh, prompts[:REFERENCE])}

    positive = {"least squares": run(LeastSquares(), prompts).predictions[1], MOMENT: moment}
    sums = _normal(own, shares, prompts)
    known = {name: _normal(case, shares, prompts) for name, case in positive.items()}
    strange = {"another prompt's channels": _normal(own, shares[other], prompts)}
    strange |= {name: _normal(case, shares, prompts) for name, case in blank.items()}
    errors = _split(own, shares, prompts)
    wrong = {"another prompt's answers": _split(own[other], shares, prompts)}
    wrong |= {name: _split(case, shares, prompts) for name, case in blank.items()}
    planted = _split(moment, shares, prompts)

    def of(quantity: Quantity, rank: Scalar = None, eigenvalue: Scalar = None) -> Measurement:
        where: dict[str, Scalar] = {} if rank is None else {"direction": rank, "eigenvalue": eigenvalue}
        return measure(NAME, quantity, sums, draws, coordinates=where, positive=known, negative=strange)

    found = [of(Quantity(name=FORM, combine=_explained(task.dim)))]
    values = channels.eigenvalues.flip(-1).mean(0).tolist()
    for r, value in enumerate(values):
        found.append(of(Quantity(name=GAIN, combine=_gain(task.dim, r)), r + 1, value))
    for r in range(task.dim + 1):
        last = r == task.dim
        found.append(
            measure(
                NAME,
                SHARE,
                errors[:, [r, -1]],
                draws,
                coordinates={"direction": REST if last else r + 1, "eigenvalue": None if last else values[r]},
                positive={MOMENT: planted[:, [r, -1]]},
                negative={name: case[:, [r, -1]] for name, case in wrong.items()},
            )
        )
    return tuple(found)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Gain by direction, with the controls beside the subject."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME or m.quantity != GAIN:
            continue
        cases = [("subject", m.value, m.interval), *((c.name, c.value, c.interval) for c in m.controls)]
        for name, value, interval in cases:
            rows.append({**m.coordinates, "gain of": name, "gain": value, **bounds(interval)})
    return Figure(
        name="directions",
        section="Directions",
        title="Which eigenvectors of XᵀX/n are resolved",
        caption="Gain along each eigenvector of XᵀX/n, largest eigenvalue first: 1 as in least squares, 0 where it is not used.",
        kind="lines",
        rows=tuple(rows),
        x="direction",
        y="gain",
        series="gain of",
        low="low",
        high="high",
        titles={"direction": "rank of the eigenvalue"},
    )


def _normal(
    predictions: Float[Tensor, "batch query"], shares: Float[Tensor, "any query dim"], prompts: Prompts
) -> Float[Tensor, "batch sum"]:
    """Each prompt's contribution to the normal equations (matrix, right side) and to the sum of squared answers."""
    batch = len(predictions)
    scale = prompts.target_variance[:batch].double().cpu().rsqrt()[:, None]
    c, y = shares[:batch] * scale[..., None], predictions * scale
    return torch.cat([(c.mT @ c).flatten(1), (c.mT @ y[..., None])[..., 0], y.square().sum(-1, keepdim=True)], -1)


def _solve(means: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Gains, one row per bootstrap repetition, and the share of the sum of squared answers that they explain."""
    right = means[:, dim * dim : -1]
    gains = torch.linalg.solve(means[:, : dim * dim].unflatten(-1, (dim, dim)), right)
    # If the subject answers zero everywhere, both sums are 0: the explained share is then 0, not NaN.
    return gains, (gains * right).sum(-1) / means[:, -1].clamp(min=torch.finfo(means.dtype).tiny)


def _gain(dim: int, rank: int) -> Callable[[Tensor], Tensor]:
    return lambda means: _solve(means, dim)[0][:, rank]


def _explained(dim: int) -> Callable[[Tensor], Tensor]:
    return lambda means: _solve(means, dim)[1]


def _split(
    predictions: Float[Tensor, "batch query"], shares: Float[Tensor, "any query dim"], prompts: Prompts
) -> Float[Tensor, "batch sum"]:
    """Each prompt's squared error, in columns: one per direction, then the rest, then the total."""
    batch, half = len(predictions), predictions.shape[1] // 2
    errors = predictions - prompts.targets[:batch].double().cpu()
    e, c = errors[:, : 2 * half].unflatten(1, (2, half)), shares[:batch, : 2 * half].unflatten(1, (2, half))
    # Columns are scaled to equal length: the smallest direction's share may be a thousandth of the largest one's.
    length = c.square().mean(2, keepdim=True).sqrt()
    length = torch.where(length > 0, length, torch.ones_like(length))
    unit = c / length
    # Discrete queries may repeat, so that several gains fit equally well: the ones of least norm are taken.
    gains = (torch.linalg.pinv(unit.mT @ unit, hermitian=True) @ (unit.mT @ e[..., None])).mT / length
    parts = (e[..., None] * gains.flip(1) * c).sum((1, 2))
    whole = e.square().sum((1, 2))[:, None]
    return torch.cat([parts, whole - parts.sum(-1, keepdim=True), whole], -1)


INSTRUMENT = Instrument(
    name=NAME,
    question="Along which eigenvectors of XᵀX do its errors lie?",
    measure=directions,
    needs="Gaussian inputs",
    quantities=(
        "R² of one gain a direction",
        "gain",
        "share of squared error",
    ),
    coordinates=(
        "direction",
        "eigenvalue",
    ),
    sizes=sizes(n=(32, 192, 1024)),
    figure=figure,
)
