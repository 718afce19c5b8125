"""Panels of planted subjects, each made from one seed.

Three of them have a name and never mix. Thresholds may be chosen on T; S and H are scored afterwards, once. H is drawn from other
settings besides: more dimensions, other depths, step sizes and noises.
"""

from mesascope.calibration.cases import CASES
from mesascope.calibration.disguise import Disguised
from mesascope.calibration.planted import Case, Draw, Planted, Setting
from mesascope.tasks import LinearRegression

THRESHOLDS, SHIPPED, HELD_OUT = 0, 1, 2
"""Seeds of the panels T, S and H."""
SIZE = 200
OTHER = Setting(
    dim=10,
    examples=32,
    steps=(3, 9),
    step_size=(0.03, 0.25),
    momentum=(0.3, 0.8),
    label_noise=(0.0, 0.2, 0.5),
    prediction_noise=(0.0, 0.03, 0.1),
)
"""What panel H is drawn from."""


def panel_name(seed: int) -> str:
    """What a panel is called."""
    return {THRESHOLDS: "T", SHIPPED: "S", HELD_OUT: "H"}.get(seed, f"seed {seed}")


def kinds(size: int = SIZE) -> tuple[Case, ...]:
    """The kind of each subject: every kind by its share, the largest remainders first where it does not come out even."""
    total = sum(case.share for case in CASES)
    exact = [case.share * size / total for case in CASES]
    counts = [int(share) for share in exact]
    order = sorted(range(len(CASES)), key=lambda i: counts[i] - exact[i])
    for i in order[: size - sum(counts)]:
        counts[i] += 1
    return tuple(case for case, count in zip(CASES, counts, strict=True) for _ in range(count))


def planted(seed: int, index: int, size: int = SIZE) -> Planted:
    """Subject number ``index`` of a panel.

    Args:
        seed: of the panel.
        index: from 0 to below ``size``.
        size: of the panel.
    """
    case = kinds(size)[index]
    draw = Draw(OTHER if seed == HELD_OUT else Setting(), seed, index)
    noise = draw.choice("label noise", draw.setting.label_noise)
    share = draw.choice("prediction noise", draw.setting.prediction_noise) if case.noisy else 0.0
    task = LinearRegression(dim=draw.setting.dim, examples=draw.setting.examples, noise=noise)
    clean = case.make(draw)
    return Planted(
        case=case,
        clean=clean,
        subject=Disguised(subject=clean, seed=1000 * seed + index, noise=share),
        task=task,
        distribution=None if case.on is None else case.on(task),
        settings=dict(draw.made),
    )
