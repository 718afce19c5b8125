"""How many prompts it takes to tell two candidates apart, before anything is measured.

For a subject that follows one candidate with a given share of prediction noise, from the reference algorithms alone: the
other candidate is first fitted to the first one's path, so that what separates them is not a badly chosen coefficient.
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
from mesascope.instruments.identification.fitting import fit_path
from mesascope.instruments.identification.prompts import CONDITIONS, discriminating
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.statistics.discrepancy import contrasts, discrepancy, noisy
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.tasks import Diagonal, Gaussian
from mesascope.types import Control, Domain, Measurement, PrescribableTask, SizedTask, Task, adjusted, label_noise

LAYERS, POOL = 6, 512
POWER, LEVEL = 0.9, 0.95
CRITICAL = float(ndtri(1 - (1 - LEVEL) / 2))
"""Of two one-sided tests at once (Bonferroni)."""
TRIED = 2000
"""Experiments of the size that is said to be enough, drawn from the pool to see whether it is."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contrast:
    """What the fitted rival loses beyond the candidate that the subject follows: the two contrasts that `scoring` decides by.

    Attributes:
        means: of the difference L_c − L_b of the losses (summed over layers, in units of the target's variance), and of the
            relative difference (L_c − L_b)/(L_c + L_b), which a few hard prompts cannot dominate.
        deviations: from the means of the prompt's stratum, since the bootstrap that decides keeps each stratum's size.
    """

    means: Float[Tensor, " contrast"]
    deviations: Float[Tensor, "contrast batch"]

    @property
    def separation(self) -> float:
        """The mean extra loss of the rival."""
        return float(self.means[0])

    @property
    def effect(self) -> float:
        """Mean over standard deviation, of the contrast where that is larger; 0 where the two candidates are the same."""
        if self.separation <= 1e-9:
            return 0.0
        return float((self.means / self.deviations.std(1)).max())

    @property
    def needed(self) -> float:
        """Prompts that such an effect needs."""
        return required(self.effect)

    def power(self, n: int, seed: int) -> float:
        """Share of experiments with n prompts of this pool in which one of the two paired tests is significant."""
        rng = generator(seed, "power/experiments")
        draws = torch.randint(self.deviations.shape[1], (TRIED, n), generator=rng)
        drawn = self.means[:, None, None] + self.deviations[:, draws]
        significant = drawn.mean(-1) > CRITICAL * drawn.std(-1) / n**0.5
        return float(significant.any(0).double().mean())


def required(effect: float) -> float:
    """The least n, 2 or more, with effect ≥ (z_level + z_power)/√n; infinite where there is no effect."""
    return max(2.0, math.ceil(((CRITICAL + float(ndtri(POWER))) / effect) ** 2)) if effect > 0 else math.inf


def contrast(runner: Runner, followed: Family, rival: Family, *, noise: float, seed: int) -> Contrast:
    """Compare a rival with the candidate that a noisy subject follows, one step a layer.

    Args:
        runner: the prompts.
        followed: at the coefficients of `usual`.
        rival: at those, and at the steps per layer, that come nearest to it on these prompts.
        noise: share of the target's variance that is prediction noise.
        seed: of that noise.
    """
    variance = runner.prompts.target_variance
    truth = runner.predictions(followed, usual(followed, runner.size), LAYERS)[1:]
    subject = noisy(truth, noise, variance, generator(seed, "power/noise"))
    path = fit_path(rival, runner, truth, gains=False).answers(runner)
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
    """Prompts of one task that it takes, with both controls.

    The negative control is the candidate's separation from itself; the positive one asks whether the normal approximation
    keeps its promise: the share of experiments of that size that do tell the two apart.

    Args:
        task: where the prompts come from.
        followed, rival, noise, seed: as for `contrast`; ``seed`` is that of the prompts too.
        coordinates: what the measurement is to be called by, besides the two names.
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
    """Prompts needed to tell ``second`` from ``first`` with power 0.9 at level 0.95, for each condition number.

    A normal approximation to the paired tests on the difference and the relative difference of the losses of ``second`` and
    ``first``, for ŷ = first + noise; infinite where the two are the same on these prompts.

    Args:
        first: the candidate that the subject is supposed to follow, one step a layer over six layers.
        second: the candidate it might be taken for.
        task, domain: as for `identify`; they fix dimension and number of examples.
        noise: share of the target's variance that is prediction noise.
        conditions: condition numbers of XᵀX.
        seed: of prompts and noise.

    Raises:
        ValueError: an unknown candidate, one without steps, the same twice, a noise outside [0, 1), or a
            subject that takes one dimension only.
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
    """The standard discriminating prompts.

    Raises:
        ValueError: there are none in one dimension; or a task outside the domain, or larger than this machine's memory.
        NotApplicable: the task's inputs cannot be given another spectrum.
    """
    domain = domain or Domain()
    domain.check(task)
    task = prescribable(task, "varying the conditioning needs")
    if isinstance(task, SizedTask):
        task.check_memory(1)
    found = discriminating(task, domain)
    if found is None:
        raise ValueError(
            "dim must be 2 or more to vary the conditioning; got 1. In one dimension nothing tells them apart."
        )
    assert isinstance(found.task, PrescribableTask), "it is the task with other fields"
    return found.task


def compared(names: Sequence[str], label_noise: float, noise: float) -> list[Family]:
    """The candidates with these names.

    Raises:
        ValueError: an unknown one, one without steps, fewer than two, one twice, or a noise outside [0, 1).
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


def usual(family: Family, size: float = 1.0) -> tuple[float, ...]:
    """Coefficients of the member that stands for a family: those that solve an isotropic prompt well.

    Args:
        family: the candidate.
        size: the mean eigenvalue of XᵀX/n.
    """
    found = {
        "step_size": 0.25,
        "momentum": 0.5,
        "curvature": 0.1,
        "largest": 4.0,
        "condition": 30.0,
        "scale": 0.1,
        "ridge": 0.1,
    }
    return tuple(found[c.name] * size**c.power for c in family.coefficients)


__all__ = ("Contrast", "compared", "contrast", "needed", "prompts_needed", "required", "usual", "varied")
