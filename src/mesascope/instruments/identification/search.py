"""The search for prompts that discriminate: settings of a task as points of a cube, and a way through it."""

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
"""Prompts that a design is judged on: the same random numbers for all designs."""
LARGEST_CONDITION, SIZES, SHAPES = 1e3, 16.0, 9.0
"""Ranges: κ from 1, mean eigenvalue from a quarter to four times that of training, exponent from ⅓ to 3."""
SETTINGS = 5
FIRST_STEP, LAST_STEP = 0.3, 0.05
"""Standard deviation of a step around the best design, as a share of a setting's range; it shrinks from trial to trial."""
HALVINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A design that was judged: its distance from training and the least effect size over all pairs."""

    task: PrescribableTask
    distance: float
    effect: float
    point: Float[Tensor, " setting"] | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """How well a task tells the candidates apart, for a subject with this share of prediction noise."""

    names: tuple[str, ...]
    noise: float
    seed: int

    def pairs(self, task: PrescribableTask) -> list[tuple[Family, Family]]:
        """Who is followed and who is taken for it; with label noise some candidates have more coefficients."""
        return list(itertools.permutations(compared(self.names, task.noise, self.noise), 2))

    def effect(self, task: PrescribableTask, enough: float = -math.inf) -> float:
        """The least effect size over the pairs; −∞ as soon as one is below ``enough``, to save looking at the others."""
        runner = Runner(task.sample(POOL, seed=self.seed, stream="design/search"))
        least = math.inf
        for followed, rival in self.pairs(task):
            least = min(least, contrast(runner, followed, rival, noise=self.noise, seed=self.seed).effect)
            if least < enough:
                return -math.inf
        return least

    def hardest(self, task: PrescribableTask, coordinates: dict[str, str | float]) -> Measurement:
        """Prompts needed for the pair that needs most, on prompts that no search has seen."""
        pairs = self.pairs(task)
        found = [needed(task, *pair, noise=self.noise, seed=self.seed, coordinates=coordinates) for pair in pairs]
        return max(found, key=lambda m: m.value)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """Tasks as points of a cube: condition number, size, shape, examples and label noise, each from 0 to 1.

    Attributes:
        base: what is not chosen.
        size: mean eigenvalue in training.
        label: standard deviation of a label in training.
        examples: numbers of examples to choose from.
        centres: the points nearest to training: of the tasks whose spectrum varies, and of those where it is exact.
    """

    base: PrescribableTask
    size: float
    label: float
    examples: tuple[int, ...]
    centres: tuple[Float[Tensor, " setting"], ...]

    @classmethod
    def around(cls, home: PrescribableTask, base: PrescribableTask, domain: Domain, seed: int) -> "Space":
        """The space for a training distribution and a subject's domain."""
        dim, most = home.dim, home.examples
        allowed = range(1, 2 * most + 1) if domain.examples is None else domain.examples
        examples = tuple(n for n in allowed if n >= min(dim, most))  # an exact design needs as many as dimensions
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
        """The task at a point; λ_i falls as κ^(−uᵖ) with u from 0 to 1, log-spaced where the exponent p is 1."""
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
        """The point and its distance from home; if too far out, the last one found inside on the way back (by bisection)."""
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
    """Designs within the limit, without those that a nearer design is known to beat.

    Half of the trials go anywhere, the others around the best so far. Each moves about half of the settings: spending the
    distance on all of them at once leaves little for those that matter.

    Args:
        space: where to look.
        home: the training distribution.
        judge: what to maximise.
        known: trials from elsewhere, to be beaten.
        limit: largest distance from home.
        trials: how many.
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
