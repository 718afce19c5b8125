"""The search for a design: the settings of a task as points of a cube, and a random search in it."""

import itertools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.identification.distance import SPECTRA, distance, singular_values
from mesascope.instruments.identification.families import Family
from mesascope.instruments.identification.power import compared, contrast, needed
from mesascope.instruments.identification.runner import Runner
from mesascope.seeds import generator
from mesascope.tasks import Eigenvalues, Gaussian
from mesascope.types import Domain, Measurement, PrescribableTask, adjusted

POOL = 256
"""The number of prompts that a design is judged on, with the same random numbers for all designs."""
LARGEST_CONDITION, SIZES, SHAPES = 1e3, 16.0, 9.0
"""The ranges of the settings: κ from 1 to 1000, mean eigenvalue from ¼ to 4 times that of training, exponent from ⅓ to 3."""
SETTINGS = 5
FIRST_STEP, LAST_STEP = 0.3, 0.05
"""The standard deviation of the steps around the best design, first and last, as a share of a setting's range."""
HALVINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A design that was judged.

    Attributes:
        task: the design.
        distance: its distance from the training distribution.
        effect: the least effect size over all pairs of candidates.
        point, exact: its point in the `Space`, and whether its spectrum is exact.
    """

    task: PrescribableTask
    distance: float
    effect: float
    point: Float[Tensor, " setting"] | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges how well a task tells candidates apart.

    Attributes:
        names: the candidates.
        noise: the variance of the subject's prediction noise, as a share of the target's variance.
        seed: of the prompts and the noise.
    """

    names: tuple[str, ...]
    noise: float
    seed: int

    def pairs(self, task: PrescribableTask) -> list[tuple[Family, Family]]:
        """All pairs of the candidate that the subject follows and its rival; label noise adds coefficients to some candidates."""
        return list(itertools.permutations(compared(self.names, task.noise, self.noise), 2))

    def effect(self, task: PrescribableTask, enough: float = -math.inf) -> float:
        """The least effect size over all pairs; −∞ as soon as one is below ``enough``, without computing the others."""
        runner = Runner(task.sample(POOL, seed=self.seed, stream="design/search"))
        least = math.inf
        for followed, rival in self.pairs(task):
            least = min(least, contrast(runner, followed, rival, noise=self.noise, seed=self.seed).effect)
            if least < enough:
                return -math.inf
        return least

    def hardest(self, task: PrescribableTask, coordinates: dict[str, str | float]) -> Measurement:
        """The prompts needed for the pair that needs most, measured on prompts that no search has seen."""
        pairs = self.pairs(task)
        found = [needed(task, *pair, noise=self.noise, seed=self.seed, coordinates=coordinates) for pair in pairs]
        return max(found, key=lambda m: m.value)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """Tasks as points of a cube: condition number, size, shape, examples and label noise, each from 0 to 1.

    Attributes:
        base: the task that gives all other settings.
        size: the mean eigenvalue in training.
        label: the standard deviation of a label in training.
        examples: the numbers of examples to choose from.
        centres: the points nearest to training, for spectra that vary between prompts and (if possible) for exact spectra.
    """

    base: PrescribableTask
    size: float
    label: float
    examples: tuple[int, ...]
    centres: tuple[Float[Tensor, " setting"], ...]

    @classmethod
    def around(cls, home: PrescribableTask, base: PrescribableTask, domain: Domain, seed: int) -> "Space":
        """The space around the training distribution ``home``, within a subject's domain."""
        dim, most = home.dim, home.examples
        allowed = range(1, 2 * most + 1) if domain.examples is None else domain.examples
        examples = tuple(
            n for n in allowed if n >= min(dim, most)
        )  # an exact spectrum needs as many examples as dimensions
        place = examples.index(most) / max(len(examples) - 1, 1)
        sampled = singular_values(home, seed)
        population = home.inputs.covariance.eigenvalues(dim, 0, SPECTRA, generator(seed, "design/centre")).sqrt()
        spectra = [population.sort(descending=True).values.mean(0)] + [sampled.mean(0)] * (most >= dim)
        trace = float(sampled.square().sum(-1).mean())
        label = math.sqrt(home.weight_variance * trace + home.noise**2)
        centres = [
            [2 * float((s[0] / s[-1]).log()) / math.log(LARGEST_CONDITION), 0.5, 0.5, place, home.noise / label]
            for s in spectra
        ]
        return cls(
            base=base,
            size=trace / dim,
            label=label,
            examples=examples,
            centres=tuple(torch.tensor(c, dtype=torch.float64).clamp(0, 1) for c in centres),
        )

    def task(self, point: Float[Tensor, " setting"], exact: bool) -> PrescribableTask:
        """The task at a point. Eigenvalues fall as κ^(−uᵖ) with u from 0 to 1; for exponent p = 1 they are log-spaced."""
        condition, size, shape, place, noise = point.tolist()
        u = torch.linspace(0, 1, self.base.dim, dtype=torch.float64) ** SHAPES ** (shape - 0.5)
        values = LARGEST_CONDITION ** (-condition * u)
        values *= self.size * SIZES ** (size - 0.5) / values.mean()
        return adjusted(
            self.base,
            examples=self.examples[round(place * (len(self.examples) - 1))],
            noise=noise * self.label,
            inputs=Gaussian(covariance=Eigenvalues(values=tuple(values.tolist()), rotate=True), exact=exact),
        )

    def within(
        self, limit: float, home: PrescribableTask, point: Float[Tensor, " setting"], exact: bool, seed: int
    ) -> tuple[Float[Tensor, " setting"], float] | None:
        """The point and its distance from home; if it is too far out, the last point within the limit by bisection.

        The bisection goes along the line to the centre. ``None`` if it finds no point within the limit.
        """
        found, share, step = None, 1.0, 1.0
        for _ in range(HALVINGS):
            there = torch.lerp(self.centres[exact], point, share)
            way = distance(home, self.task(there, exact), seed=seed)
            if way <= limit:
                found = there, way
            if found and share == 1:
                break
            step /= 2
            share += step if way <= limit else -step
        return found


def search(
    space: Space, home: PrescribableTask, judge: Judge, known: list[Trial], *, limit: float, trials: int
) -> list[Trial]:
    """Designs within the limit, without those that are worse than a nearer design.

    The first half of the trials is drawn from the whole space, the second half around the best design so far. Each trial
    moves about half of the settings, since moving all of them would use up the distance on settings that don't matter.

    Args:
        space: the space to search.
        home: the training distribution.
        judge: computes the effect size that is maximised.
        known: other designs, which those found must exceed.
        limit: the largest distance from home.
        trials: the number of designs to try.
    """
    rng = generator(judge.seed, "design/search")
    found: list[Trial] = []
    for trial in range(trials):
        moved = torch.rand(SETTINGS, generator=rng, dtype=torch.float64) < 0.5
        best = max(found, key=lambda t: t.effect, default=None)
        if best is None or trial < trials // 2:
            exact = bool(trial % len(space.centres))
            point = torch.where(moved, torch.rand(SETTINGS, generator=rng, dtype=torch.float64), space.centres[exact])
        else:
            exact, size = best.exact, FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (2 * trial / trials - 1)
            step = size * moved * torch.randn(SETTINGS, generator=rng, dtype=torch.float64)
            point = (best.point + step).clamp(0, 1)
        inside = space.within(limit, home, point, exact, judge.seed)
        if inside is None:
            continue
        point, way = inside
        task = space.task(point, exact)
        enough = max((t.effect for t in known + found if t.distance <= way), default=-math.inf)
        effect = judge.effect(task, enough)
        if effect > -math.inf:
            found.append(Trial(task=task, distance=way, effect=effect, point=point, exact=exact))
    return found
