"""Panels of planted subjects, each made from one seed.

Three mixed panels have names and are kept separate. Thresholds may be chosen on T; S and H are scored afterwards, once. H is also
drawn from other settings: other sizes, depths, steps and noises. Any other seed gives a new panel like S; `exact` gives a panel
of subjects without noise that all run a candidate.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mesascope.calibration.cases import CASES, kernel
from mesascope.calibration.cases import generalised as generalised_cases
from mesascope.calibration.disguise import Disguised
from mesascope.calibration.drawing import Draw, Setting
from mesascope.calibration.planted import Case, Planted
from mesascope.types import Domain

THRESHOLDS, SHIPPED, HELD_OUT = 3, 69, 70
"""Seeds of the panels T, S and H. Others below 69 were used while rules were made, or belonged to panels that have been seen."""
SIZE = 200
OTHER = Setting(
    sizes=((7, 24), (10, 32), (4, 9), (7, 5)),
    input_scale=(3e-3, 3e2),
    steps=(3, 14),
    step_size=(0.08, 1.7),
    momentum=(0.15, 0.85),
    label_noise=(0.0, 0.2, 0.5),
    prediction_noise=(0.0, 0.03, 0.1),
)
"""The setting of panel H."""
GENERALISED = Setting(
    sizes=((5, 40), (5, 40), (4, 30), (6, 60)),
    weights=("unit",),
    steps=(3, 6),
    label_noise=(0.0,),
    prediction_noise=(0.0, 0.0, 0.01),
    families=(("logistic", 1.0), ("logistic", 2.0), ("poisson", 0.5), ("poisson", 1.0)),
)
"""The setting of panels with binary labels and counts."""
EXACT = Setting(label_noise=(0.0,), prediction_noise=(0.0,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The definition of a panel.

    Attributes:
        name: what its subjects are, and which panel it is, in words.
        seed: the seed of all its random numbers.
        setting: the setting that its subjects are drawn from.
        cases: the kinds of its subjects.
    """

    name: str
    seed: int
    setting: Setting
    cases: tuple[Case, ...] = CASES


def mixed(seed: int) -> Panel:
    """The mixed panel of a seed: T, S, H, or a new one like S."""
    return Panel(name=f"panel {panel_name(seed)}", seed=seed, setting=OTHER if seed == HELD_OUT else Setting())


def exact(seed: int) -> Panel:
    """A panel of subjects without noise, each of which runs a candidate, on discriminating prompts."""
    cases = tuple(case for case in CASES if case.described and case.on is None)
    return Panel(name=f"exact subjects of seed {seed}", seed=seed, setting=EXACT, cases=cases)


def kernels(seed: int) -> Panel:
    """A panel of learners with a kernel, on discriminating prompts."""
    return Panel(name=f"learners with a kernel of seed {seed}", seed=seed, setting=Setting(), cases=kernel.CASES)


def generalised(seed: int) -> Panel:
    """A panel of subjects whose labels are binary or counts."""
    cases = generalised_cases.CASES
    return Panel(
        name=f"subjects for binary labels and counts of seed {seed}", seed=seed, setting=GENERALISED, cases=cases
    )


PANELS: Mapping[str, Callable[[int], Panel]] = {
    "mixed": mixed,
    "exact": exact,
    "kernels": kernels,
    "generalised": generalised,
}
"""The kinds of panels, each made from a seed."""


def panel_name(seed: int) -> str:
    """The name of a seed's mixed panel."""
    return {THRESHOLDS: "T", SHIPPED: "S", HELD_OUT: "H"}.get(seed, f"seed {seed}")


@functools.lru_cache
def kinds(size: int = SIZE, cases: tuple[Case, ...] = CASES) -> tuple[Case, ...]:
    """The kind of each subject: kinds in proportion to their shares, rounded by the largest remainders."""
    total = sum(case.share for case in cases)
    exact = [case.share * size / total for case in cases]
    counts = [int(share) for share in exact]
    order = sorted(range(len(cases)), key=lambda i: counts[i] - exact[i])
    for i in order[: size - sum(counts)]:
        counts[i] += 1
    return tuple(case for case, count in zip(cases, counts, strict=True) for _ in range(count))


def planted(panel: Panel, index: int, size: int = SIZE) -> Planted:
    """Subject number ``index`` of a panel.

    Args:
        panel: the panel.
        index: the subject's number, from 0 to below ``size``.
        size: the number of subjects in the panel.
    """
    case = kinds(size, panel.cases)[index]
    draw = Draw(panel.setting, panel.seed, index)
    share = draw.choice("prediction noise", draw.setting.prediction_noise) if case.noisy else 0.0
    clean = case.make(draw)
    return Planted(
        case=case,
        clean=clean,
        subject=Disguised(
            subject=clean,
            seed=1000 * panel.seed + index,
            noise=share,
            restricted=Domain() if case.on else draw.domain,
        ),
        task=draw.generalised or draw.task,
        distribution=None if case.on is None else case.on(draw),
        settings=dict(draw.made),
    )
