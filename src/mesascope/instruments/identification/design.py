"""A design: the task, not too far from training, on which the fewest prompts tell some candidates apart, found by search.

The search chooses the condition number, size and shape of the spectrum of XᵀX/n, whether the spectrum is exact or varies from
prompt to prompt, the number of examples (within the subject's domain) and the label noise. It maximises the effect size of the
paired test for the pair of candidates, and the direction, that is *hardest* to tell apart; rivals are refitted to each design.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mesascope.instruments.asking.applicability import prescribable
from mesascope.instruments.identification.distance import distance
from mesascope.instruments.identification.power import compared, required, varied
from mesascope.instruments.identification.prompts import Distribution, training
from mesascope.instruments.identification.search import POOL, Judge, Space, Trial, search
from mesascope.seeds import generator
from mesascope.types import Domain, Figure, Measurement, PrescribableTask, Scalar, Task, adjusted

TRIALS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A task chosen to tell some candidates apart, and the number of prompts that it takes.

    All numbers of prompts are measured on prompts that the search has not seen. If nothing better was found, the standard
    prompts or the training distribution are chosen, as the coordinate ``prompts`` of ``after`` says.

    Attributes:
        candidates: the candidates to be told apart.
        task: the chosen task.
        distance: its `distance` from the training distribution.
        limit: the largest distance allowed.
        before: prompts needed for the hardest pair, on the training distribution and on the standard prompts.
        after: prompts needed for the hardest pair on the chosen task.
        frontier: a figure of the fewest prompts needed within each distance.
    """

    candidates: tuple[str, ...]
    task: PrescribableTask
    distance: float
    limit: float
    before: tuple[Measurement, Measurement]
    after: Measurement
    frontier: Figure

    @property
    def distribution(self) -> Distribution:
        """The distribution to pass to `identify` in place of the standard discriminating prompts."""
        words = f"prompts designed for {', '.join(self.candidates)}: {settings(self.task)}"
        return Distribution(name="discriminating", words=words, task=self.task)


def design_prompts(
    candidates: Sequence[str],
    task: Task,
    domain: Domain | None = None,
    *,
    noise: float = 0.05,
    limit: float | None = None,
    trials: int = TRIALS,
    seed: int = 0,
) -> Design:
    """Choose the task that tells candidates apart with the fewest prompts, within a distance of the training distribution.

    A random search over all settings is followed by one around the best design with shrinking steps. All designs use the same
    random numbers. A design that is too far out is moved towards training until it is within the limit. The training
    distribution, and the standard prompts if they are within the limit, are designs too.

    Args:
        candidates: two or more names, such as those that an *indistinguishable* answer kept. All pairs count, both ways.
        task: the training distribution. For a subject that takes any dimension, the standard prompts' dimension and number
            of examples are used.
        domain: the subject's domain; unrestricted by default.
        noise: the variance of the prediction noise, as a share of the target's variance.
        limit: the largest `distance` allowed; by default that of the standard discriminating prompts, on which labels rest
            already.
        trials: the number of designs to try.
        seed: of the search and its prompts.

    Raises:
        NotApplicable: the task's inputs cannot be given another spectrum.
        ValueError: the limit is negative or not finite, the task is outside the domain, or as for `prompts_needed`.
    """
    domain, task = domain or Domain(), prescribable(task, "a design of prompts needs")
    names = tuple(family.name for family in compared(candidates, task.noise, noise))
    standard = varied(task, domain)
    queries = training(task).task.queries
    home = adjusted(task, dim=standard.dim, examples=standard.examples, queries=queries)
    domain.check(home)
    far = distance(home, standard, seed=seed)
    limit = far if limit is None else limit
    if not 0 <= limit < math.inf:
        raise ValueError(f"distance must be 0 or more and finite; got {limit}. The standard prompts are at {far:.2f}.")
    judge = Judge(names=names, noise=noise, seed=seed)
    tried = [Trial(task=home, distance=0.0, effect=judge.effect(home))]
    if far <= limit:
        tried.append(Trial(task=standard, distance=far, effect=judge.effect(standard)))
    space = Space.around(home, standard, domain, seed)
    tried += search(space, home, judge, tried, limit=limit, trials=trials)
    best = max(tried, key=lambda trial: trial.effect)
    before = (
        judge.hardest(home, {"prompts": "training", "distance": 0.0}),
        judge.hardest(standard, {"prompts": "standard", "distance": far}),
    )
    after = judge.hardest(best.task, {"prompts": "designed", "distance": best.distance})
    # The best design of the search need not be the best on other prompts, so the three are compared once more.
    finalists = [(after, best.task, best.distance), (before[0], home, 0.0)]
    if far <= limit:
        finalists.append((before[1], standard, far))
    after, chosen, way = min(finalists, key=lambda finalist: finalist[0].value)
    return Design(
        candidates=names,
        task=chosen,
        distance=way,
        limit=limit,
        before=before,
        after=after,
        frontier=_frontier(names, tried),
    )


def settings(task: PrescribableTask) -> str:
    """A description of the settings of a task that a design chooses."""
    covariance = task.inputs.covariance
    kind = "XᵀX/n" if task.inputs.exact else "the inputs' covariance"
    if len(covariance.names) > 1:
        spectrum = f"a mixture of {', '.join(covariance.names)}"
    else:
        values = covariance.eigenvalues(task.dim, 0, 1, generator(0, "design/words"))[0]
        spectrum = ", ".join(f"{value:.3g}" for value in values.sort(descending=True).values.tolist())
    return f"eigenvalues of {kind}: {spectrum}; n={task.examples}; label noise {task.noise:.2g}"


def _frontier(names: Sequence[str], tried: Sequence[Trial]) -> Figure:
    """The figure of the designs tried that are better than every nearer one."""
    rows: list[dict[str, Scalar]] = []
    most = 0.0
    for trial in sorted(tried, key=lambda trial: trial.distance):
        if trial.effect > most:
            most = trial.effect
            rows.append(
                {"distance": trial.distance, "prompts": required(most), "settings": settings(trial.task), "n": POOL}
            )
    return Figure(
        name="separation-by-distance",
        section="Prompts that discriminate",
        title=f"Prompts needed to tell {', '.join(names)} apart, by distance from training",
        caption="The fewest prompts needed for the hardest pair by any design tried within a distance; the first point is "
        "the training distribution. The distance is the root mean square amount by which inputs and labels are moved.",
        kind="lines",
        rows=tuple(rows),
        x="distance",
        y="prompts",
        titles={"prompts": "prompts needed", "distance": "distance from training"},
        log=("y",),
    )


__all__ = ("Design", "design_prompts", "settings")
