"""The picture of `silent failure`: order against error, a point per setting, with the region where failure is silent."""

import statistics
from collections.abc import Sequence

from mesascope.instruments.behaving.silent_rule import ACCEPTABLE, FLAG, LESS, POOLED, RANK
from mesascope.types import Figure, Measurement, Scalar, bounds

NAME = FLAG  # the instrument has the name of its flag
FARTHEST = 1.5
"""Larger errors are drawn here."""
NEAR = ", near one example"


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Rank correlation within a prompt against the error over the pooled variance."""
    found = {(m.quantity, m.coordinates["setting"]): m for m in measurements if m.instrument == NAME}
    rows: list[dict[str, Scalar]] = []
    halves: dict[str, list[float]] = {}
    for (quantity, setting), rank in found.items():
        if quantity != RANK.name:
            continue
        ridge = next(control.value for control in rank.controls if control.name == "ridge")
        error, flag, name = found[POOLED.name, setting], found[FLAG, setting], str(setting)
        panel = "queries near one example" if name.endswith(NEAR) else "queries as in the setting"
        halves.setdefault(panel, []).append(LESS * ridge)
        rows.append(
            {
                "queries": panel,
                "setting": name.removesuffix(NEAR),
                POOLED.name: min(error.value, FARTHEST),
                RANK.name: rank.value,
                **bounds(rank.interval),
                "ridge's rank correlation": ridge,
                "silent failure": bool(flag.value),
            }
        )
    for panel, limits in halves.items():
        region = {"queries": panel, "setting": "failure is silent", RANK.name: statistics.median(limits)}
        rows += [{**region, POOLED.name: x, "low": -0.2, "high": region[RANK.name]} for x in (0.0, ACCEPTABLE)]
    return Figure(
        name="silent-failure",
        section="Silent failure",
        title="The order of a prompt's answers against their error",
        caption="In the shaded region the error looks acceptable (below half of the variance of all targets), while the "
        "rank correlation within a prompt is below half of ridge regression's. Drawn is the median of this limit over the "
        f"settings; the flag takes each setting's own, and asks for clear differences. Errors above {FARTHEST} stand there.",
        kind="lines",
        rows=tuple(rows),
        x=POOLED.name,
        y=RANK.name,
        series="setting",
        facet="queries",
        low="low",
        high="high",
        titles={"queries": ""},
    )
