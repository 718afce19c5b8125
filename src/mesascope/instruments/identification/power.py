"""How many prompts it takes to tell two candidates apart, computed before anything is measured.

The computation needs only the reference algorithms. It assumes a subject that follows one candidate with a given share of
prediction noise. The other candidate is first fitted to the path of the first, so that badly chosen coefficients cannot
separate them.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from scipy.special import ndtri
from torch import Tensor

from mesascope.instruments.asking.applicability import prescribable
from mesascope.instruments.identification.families import Family, chosen
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.prompts import CONDITIONS, discriminating
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.identification.variable import entries
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics.discrepancy import contrasts, discrepancy, noisy
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.tasks import Diagonal, Gaussian
from mesascope.types import (
    Control,
    Domain,
    Measurement,
    PrescribableTask,
    SizedTask,
    Subject,
    Task,
    adjusted,
    label_noise,
)

LAYERS, POOL = 6, 512
POWER, LEVEL = 0.9, 0.95
CRITICAL = float(ndtri(1 - (1 - LEVEL) / 2))
"""The critical value of each of two simultaneous one-sided tests (Bonferroni)."""
TRIED = 2000
"""The number of experiments with the computed number of prompts, drawn from the pool, that check the promised power."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrast:
    """How much more the fitted rival loses than the candidate that the subject follows, by the two `discrepancy.contrasts`.

    Attributes:
        means: the mean difference L_c − L_b of the losses (summed over layers, in units of the target's variance), and the
            mean relative difference (L_c − L_b)/(L_c + L_b), which a few hard prompts cannot dominate.
        deviations: each prompt's deviations from the means of its stratum, since the deciding bootstrap keeps the strata's
            sizes.
    """

    means: Float[Tensor, " contrast"]
    deviations: Float[Tensor, "contrast batch"]

    @property
    def separation(self) -> float:
        """The mean extra loss of the rival."""
        return float(self.means[0])

    @property
    def effect(self) -> float:
        """The larger of the two contrasts' ratios of mean to standard deviation; 0 if the two candidates are the same."""
        if self.separation <= 1e-9:
            return 0.0
        return float((self.means / self.deviations.std(1)).max())

    @property
    def needed(self) -> float:
        """The number of prompts that this effect size needs."""
        return required(self.effect)

    def power(self, n: int, seed: int) -> float:
        """The share of experiments with n prompts of this pool in which at least one of the two paired tests is significant."""
        rng = generator(seed, "power/experiments")
        draws = torch.randint(self.deviations.shape[1], (TRIED, n), generator=rng)
        drawn = self.means[:, None, None] + self.deviations[:, draws]
        significant = drawn.mean(-1) > CRITICAL * drawn.std(-1) / n**0.5
        return float(significant.any(0).double().mean())


def required(effect: float) -> float:
    """The least n, at least 2, with effect ≥ (z_level + z_power)/√n; infinite if the effect is 0."""
    return max(2.0, math.ceil(((CRITICAL + float(ndtri(POWER))) / effect) ** 2)) if effect > 0 else math.inf


def contrast(runner: Runner, followed: Family, rival: Family, *, noise: float, seed: int) -> Contrast:
    """Compare a rival with the candidate that a noisy subject follows, with one step per layer.

    Args:
        runner: the prompts.
        followed: the candidate that the subject follows, with the coefficients of `usual`.
        rival: the other candidate, with the coefficients and steps per layer that come closest to it on these prompts.
        noise: the variance of the prediction noise, as a share of the target's variance.
        seed: of that noise.
    """
    variance = runner.prompts.target_variance
    truth = runner.predictions(followed, usual(followed, runner.size, runner.prompts.dim), LAYERS)[1:]
    subject = noisy(truth, noise, variance, generator(seed, "power/noise"))
    path = fit_path(rival, runner, truth).answers(runner)
    extra = contrasts(discrepancy(subject, path, variance).sum(0), discrepancy(subject, truth, variance).sum(0))
    return Contrast(means=extra.mean(1), deviations=extra - _stratum_means(extra, runner.prompts.strata))


def _stratum_means(
    values: Float[Tensor, "contrast batch"], strata: Int[Tensor, " batch"] | None
) -> Float[Tensor, "contrast batch"]:
    if strata is None:
        return values.mean(1, keepdim=True).expand_as(values)
    member = torch.nn.functional.one_hot(strata).double()
    return (values @ member / member.sum(0).clamp(min=1)) @ member.T


def needed(
    task: PrescribableTask,
    followed: Family,
    rival: Family,
    *,
    noise: float,
    seed: int,
    coordinates: Mapping[str, str | float],
) -> Measurement:
    """The number of prompts of one task that tell two candidates apart, with both controls.

    The negative control is the candidate's separation from itself. The positive control checks the normal approximation: the
    share of experiments with that number of prompts that tell the two apart.

    Args:
        task: where the prompts come from.
        followed, rival, noise, seed: as for `contrast`; ``seed`` is that of the prompts too.
        coordinates: further coordinates of the measurement.
    """
    runner = Runner(task.sample(POOL, seed=seed, stream="power"))
    found, itself = (contrast(runner, followed, family, noise=noise, seed=seed) for family in (rival, followed))
    controls = [Control(kind="negative", name="separation of the candidate from itself", value=itself.separation)]
    if found.needed <= POOL:
        share = found.power(int(found.needed), seed)
        controls.append(Control(kind="positive", name=f"power at that number (promised: {POWER:g})", value=share))
    return Measurement(
        instrument="power",
        quantity="prompts needed",
        value=found.needed,
        interval=None,
        n=POOL,
        unit="prompts",
        coordinates={
            **coordinates,
            "subject": followed.name,
            "against": rival.name,
            "noise": noise,
            "separation": found.separation,
        },
        controls=tuple(controls),
    )


def prompts_needed(
    first: str,
    second: str,
    task: Task,
    domain: Domain | None = None,
    *,
    noise: float = 0.05,
    conditions: Sequence[float] = (1.0, *CONDITIONS),
    seed: int = 0,
) -> tuple[Measurement, ...]:
    """The prompts needed to tell ``second`` from ``first`` with power 0.9 at level 0.95, for each condition number.

    The number comes from a normal approximation to the paired tests on the difference and the relative difference of the
    losses of ``second`` and ``first``, for ŷ = first + noise. It is infinite if the two are the same on these prompts.

    Args:
        first: the candidate that the subject is assumed to follow, with one step per layer over six layers.
        second: the candidate to tell it from.
        task, domain: as for `identify`; they fix dimension and number of examples.
        noise: the variance of the prediction noise, as a share of the target's variance.
        conditions: the condition numbers of XᵀX.
        seed: of prompts and noise.

    Raises:
        NotApplicable: the task's inputs cannot be given another spectrum.
        ValueError: a candidate is unknown or has no steps, both are the same, the noise is outside [0, 1), or the task has
            one dimension only.
    """
    followed, rival = compared([first, second], label_noise(task), noise)
    base = varied(task, domain)
    found = []
    for condition in conditions:
        inputs = Gaussian(covariance=Diagonal(condition=float(condition), rotate=True), exact=base.examples >= base.dim)
        prompts = adjusted(base, inputs=inputs)
        where = {"condition": float(condition)}
        found.append(needed(prompts, followed, rival, noise=noise, seed=seed, coordinates=where))
    return tuple(found)


def varied(task: Task, domain: Domain | None) -> PrescribableTask:
    """The task of the standard discriminating prompts.

    Raises:
        ValueError: the task has one dimension only, is outside the domain, or needs more memory than there is.
        NotApplicable: the task's inputs cannot be given another spectrum.
    """
    domain = domain or Domain()
    domain.check(task)
    task = prescribable(task, "varying the conditioning needs")
    if isinstance(task, SizedTask):
        task.check_memory(1)
    found = discriminating(task, domain)
    if found is None:
        raise ValueError("dim must be 2 or more to vary the conditioning; got 1. Pass a task with more dimensions.")
    assert isinstance(found.task, PrescribableTask), "it is the task with other fields"
    return found.task


def compared(names: Sequence[str], label_noise: float, noise: float) -> list[Family]:
    """The candidates with these names.

    Raises:
        ValueError: a candidate is unknown, has no steps or is named twice, there are fewer than two, or the noise is outside
            [0, 1).
    """
    if not 0 <= noise < 1:
        raise ValueError(f"noise must be a share of the target's variance in [0, 1); got {noise}.")
    families = [_family(name, label_noise) for name in names]
    if len({family.name for family in families}) < max(2, len(families)):
        raise ValueError(f"compare must name two different candidates, or more; got {', '.join(map(shown, names))}.")
    return families


def _family(name: str, noise: float) -> Family:
    family = chosen([name], noise)[0]
    if not family.iterative:
        raise ValueError(f"compare must name iterative candidates; {family.name} has no steps.")
    return family


def usual(family: Family, size: float = 1.0, dim: int = 2) -> tuple[float, ...]:
    """The coefficients of the member that represents a family: they solve an isotropic prompt well.

    Coefficients of every layer fall as 1, 1/2, 1/3, …; a matrix is diagonal with its entries falling in the same way.

    Args:
        family: the candidate.
        size: the mean eigenvalue of XᵀX/n.
        dim: the number of dimensions.
    """
    found = {
        "step_size": 0.25,
        "momentum": 0.5,
        "curvature": 0.1,
        "largest": 4.0,
        "condition": 30.0,
        "scale": 0.1,
        "ridge": 0.1,
        "penalty": 0.1,
        "time": 0.25,
        "bandwidth": 2.0,
    }
    if family.root is not None:
        falling = entries(torch.diag(torch.arange(1, dim + 1, dtype=torch.float64).rsqrt()))
        units = [0.5 * size**c.power if c.power else 1.0 for c in family.numbers((), dim)]
        return tuple(value * unit for value, unit in zip(falling[-len(units) :], units, strict=True))
    layers = range(1, LAYERS + 1)
    return tuple(found[c.name] * size**c.power / (c.layer or 1) for c in family.numbers(layers, dim))


def pair_power(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    pair: tuple[str, str] = ("conjugate-gradient", "preconditioned-conjugate-gradient"),
    noises: Sequence[float] = (0.05,),
) -> tuple[Measurement, ...]:
    """`prompts_needed` for a pair of candidates on the prompts that a subject accepts, at several levels of noise."""
    return tuple(m for noise in noises for m in prompts_needed(*pair, task, subject.domain, noise=noise, seed=seed))


INSTRUMENT = Instrument(
    name="power",
    question="How many prompts does it take to tell two candidates apart?",
    measure=pair_power,
    needs="inputs whose spectrum can be prescribed",
    quantities=("prompts needed",),
    coordinates=("condition", "subject", "against", "noise", "separation"),
    sizes=sizes(),
)

__all__ = (
    "INSTRUMENT",
    "Contrast",
    "compared",
    "contrast",
    "needed",
    "pair_power",
    "prompts_needed",
    "required",
    "usual",
    "varied",
)
