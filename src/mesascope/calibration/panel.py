"""Panels of planted subjects, each made from one seed.

Three of them have a name and never mix. Thresholds may be chosen on T; S and H are scored afterwards, once. H is drawn from other
settings besides: other sizes, depths, steps and noises. Any other seed gives a fresh panel like S; `exact` gives one of
subjects without noise that all run a candidate.
"""

import functools
from dataclasses import dataclass

from mesascope.calibration.cases import CASES
from mesascope.calibration.disguise import Disguised
from mesascope.calibration.drawing import Draw, Setting
from mesascope.calibration.planted import Case, Planted
from mesascope.types import Domain

THRESHOLDS, SHIPPED, HELD_OUT = 3, 4, 5
"""Seeds of the panels T, S and H. Those before were of panels with easier settings, which have been looked at."""
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
"""What panel H is drawn from."""
EXACT = Setting(label_noise=(0.0,), prediction_noise=(0.0,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Where a panel's subjects come from.

    Attributes:
        name: what it is called.
        seed: of all that is drawn.
        setting: what it is drawn from.
        cases: the kinds in it.
    """

    name: str
    seed: int
    setting: Setting
    cases: tuple[Case, ...] = CASES


def panel(seed: int) -> Panel:
    """The panel of a seed: T, S, H, or a fresh one like S."""
    return Panel(name=panel_name(seed), seed=seed, setting=OTHER if seed == HELD_OUT else Setting())


def exact(seed: int) -> Panel:
    """Subjects without any noise, each of which runs a candidate, on prompts that discriminate."""
    cases = tuple(case for case in CASES if case.described and case.on is None)
    return Panel(name=f"exact, seed {seed}", seed=seed, setting=EXACT, cases=cases)


def panel_name(seed: int) -> str:
    """What a panel is called."""
    return {THRESHOLDS: "T", SHIPPED: "S", HELD_OUT: "H"}.get(seed, f"seed {seed}")


@functools.lru_cache
def kinds(size: int = SIZE, cases: tuple[Case, ...] = CASES) -> tuple[Case, ...]:
    """The kind of each subject: every kind by its share, the largest remainders first where it does not come out even."""
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
        panel: where it comes from.
        index: from 0 to below ``size``.
        size: of the panel.
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
        task=draw.task,
        distribution=None if case.on is None else case.on(draw),
        settings=dict(draw.made),
    )
