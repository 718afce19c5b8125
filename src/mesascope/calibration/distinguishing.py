"""Whether a subject's algorithm can be distinguished from other candidates, computed from reference algorithms alone."""

from dataclasses import dataclass

import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from mesascope.calibration.planted import Planted, algorithm_of
from mesascope.instruments.identification.families import chosen
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.prompts import discriminating, training
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.reading.paths import read
from mesascope.instruments.statistics.discrepancy import PRECISION, contrasts, discrepancy, noisy, units
from mesascope.seeds import generator
from mesascope.types import glm_family, label_noise

LEVEL, ENOUGH = 0.95, 0.9
FIT = 96
"""Number of prompts on which every other candidate is fitted; the path that it is fitted to has no noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """The chance that every other candidate is rejected, and the candidate that is least likely to be rejected."""

    value: float
    hardest: str


def power(planted: Planted, *, seed: int, prompts: int) -> Power | None:
    """The chance that a subject on its own algorithm's path, with its stated noise, is distinguished from all other candidates.

    The path is that of the subject as it was made: its own algorithm is not fitted, so that a failed fit cannot hide it. Every
    other candidate is fitted to this path. As in the confidence set, there are two paired contrasts between the candidate's
    loss and that of the subject's own algorithm. Each contrast's test is approximated as normal, with a common critical value
    (Bonferroni). The chance that all candidates are rejected is at least one minus the sum of the chances that one is not.

    Args:
        planted: the subject.
        seed: the seed of the prompts and the noise.
        prompts: number of prompts that the identifier scores.

    Returns:
        The power; None if no candidate describes the subject.
    """
    glm = glm_family(planted.task)
    offered = chosen(
        None, label_noise(planted.task), glm=None if glm is None else (glm, planted.task.dim, planted.task.examples)
    )
    families = [f for f in offered if f.iterative]
    own = {f.name for f in families if algorithm_of(f.name) in planted.case.truth}
    if not planted.case.described or not own:
        return None
    rivals = [f for f in families if f.name not in own and not own & set(f.contains)]
    distribution = (
        planted.distribution or discriminating(planted.task, planted.subject.domain) or training(planted.task)
    )
    runner = Runner(distribution.task.sample(FIT, seed=seed, stream="calibration/power"), glm)
    scored = Runner(distribution.task.sample(prompts, seed=seed, stream="calibration/power scored"), glm)
    path, exact = (read(planted.clean, r.prompts) for r in (runner, scored))
    before = torch.cat([torch.zeros_like(path[:1]), path[:-1]])
    idle = [layer for layer in range(1, len(path) + 1) if torch.equal(path[layer - 1], before[layer - 1])]
    variance = scored.prompts.target_variance
    share = float(planted.settings.get("prediction noise") or 0.0)
    subject = noisy(exact, share, variance, generator(seed, "calibration/power noise"))
    unit = units(subject, variance)
    own_loss = discrepancy(subject, exact, unit).sum(0)
    whole = float(discrepancy(subject, torch.zeros_like(subject), unit).sum(0).mean())
    critical = float(ndtri(1 - (1 - LEVEL) / (2 * len(rivals))))
    fails = {}
    for rival in rivals:
        other = fit_path(rival, runner, path, idle=idle).answers(scored)
        loss = discrepancy(subject, other, unit).sum(0)
        fails[rival.name] = 1 - _chance(loss, own_loss, critical, PRECISION * whole)
    return Power(value=max(0.0, 1 - sum(fails.values())), hardest=max(fails, key=lambda name: fails[name]))


def _chance(loss: Tensor, own: Tensor, critical: float, floor: float) -> float:
    """The power of the better of the two contrasts; 0 if the difference is only rounding."""
    found = contrasts(loss, own)
    if float(found[0].mean()) <= floor:
        return 0.0
    best = 0.0
    for contrast in found:
        spread = float(contrast.std())
        size = float(contrast.mean()) * len(contrast) ** 0.5
        best = max(best, float(ndtr(size / spread - critical)) if spread > 0 else float(size > 0))
    return best
