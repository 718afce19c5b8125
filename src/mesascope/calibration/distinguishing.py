"""Can the candidates be told apart at all, for this subject? From the reference algorithms alone, before anything is judged."""

from dataclasses import dataclass

import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from mesascope.calibration.planted import Planted
from mesascope.instruments.collect import at_queries
from mesascope.instruments.identification.families import chosen
from mesascope.instruments.identification.fitting import fit_path
from mesascope.instruments.identification.paths import read
from mesascope.instruments.identification.prompts import discriminating, training
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.identification.scoring import PRECISION, contrasts, discrepancy, noisy
from mesascope.seeds import generator

LEVEL, ENOUGH = 0.95, 0.9
FIT = 96
"""Prompts that every family is fitted on; there is no noise in what it is fitted to."""
EXACT = 1e-4
"""An algorithm that leaves more than this share of a subject's path is not the algorithm that it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Chance that every other candidate is rejected, and the one that is the least likely to be."""

    value: float
    hardest: str


def power(planted: Planted, *, seed: int, prompts: int) -> Power | None:
    """The chance that a subject which follows its own algorithm, with its stated noise, is told from every other candidate.

    Every candidate is fitted to the path of the algorithm. Two paired contrasts between its loss and the algorithm's, as in
    the confidence set; each contrast's test is approximated as normal, with a critical value that all of them share
    (Bonferroni), and the chance that all reject is at least one minus the sum of the chances to fail.

    Args:
        planted: the subject; its noise-free path is used to find its algorithm's coefficients, and for nothing else.
        seed: of the prompts and the noise.
        prompts: how many the identifier scores.

    Returns:
        None if no candidate with the name of its algorithm reproduces its path.
    """
    families = [f for f in chosen(None, planted.task.noise) if f.iterative]
    own = [f for f in families if f.algorithm_name in planted.case.truth]
    distribution = planted.distribution or discriminating(planted.task, planted.clean.domain) or training(planted.task)
    if not own:
        return None
    shown = distribution.task.sample(FIT, seed=seed, stream="calibration/power")
    answers, activations = at_queries(planted.clean, shown, planted.clean.path)
    clean = read(planted.clean, answers, activations, None)
    runner = Runner(shown)
    fits = {f.name: fit_path(f, runner, clean, gains=False) for f in own}
    truth = min(own, key=lambda f: fits[f.name].loss)
    variance = shown.target_variance
    if fits[truth.name].loss > EXACT * float(discrepancy(clean, torch.zeros_like(clean), variance).sum(0).mean()):
        return None
    path = fits[truth.name].answers(runner)
    rivals = [f for f in families if f.algorithm_name not in planted.case.truth and truth.name not in f.contains]
    scored = Runner(distribution.task.sample(prompts, seed=seed, stream="calibration/power scored"))
    exact, variance = fits[truth.name].answers(scored), scored.prompts.target_variance
    share = float(planted.settings.get("prediction noise") or 0.0)
    subject = noisy(exact, share, variance, generator(seed, "calibration/power noise"))
    own_loss = discrepancy(subject, exact, variance).sum(0)
    whole = float(discrepancy(subject, torch.zeros_like(subject), variance).sum(0).mean())
    critical = float(ndtri(1 - (1 - LEVEL) / (2 * len(rivals))))
    fails = {}
    for rival in rivals:
        other = fit_path(rival, runner, path, gains=False).answers(scored)
        loss = discrepancy(subject, other, variance).sum(0)
        fails[rival.name] = 1 - _chance(loss, own_loss, critical, PRECISION * whole)
    return Power(value=max(0.0, 1 - sum(fails.values())), hardest=max(fails, key=lambda name: fails[name]))


def _chance(loss: Tensor, own: Tensor, critical: float, floor: float) -> float:
    """Power of the better of the two contrasts; none where the difference is rounding."""
    found = contrasts(loss, own)
    if float(found[0].mean()) <= floor:
        return 0.0
    best = 0.0
    for contrast in found:
        spread = float(contrast.std())
        size = float(contrast.mean()) * len(contrast) ** 0.5
        best = max(best, float(ndtr(size / spread - critical)) if spread > 0 else float(size > 0))
    return best
