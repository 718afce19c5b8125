"""What the controlled experiments share: numbers over networks that differ only in their seed, and paired differences.

Intervals are over networks, by Student's t. Differences are paired by seed, and their intervals hold at 95 % for all comparisons
of a study at once (Bonferroni). A difference says besides how large an effect would have been seen with a probability of 80 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from mesascope.instruments.behaving import errors
from mesascope.instruments.explaining import instrument as explaining
from mesascope.instruments.statistics.contrast import difference
from mesascope.studies.averaging import SEEN, Key, by_seed, detectable, interval, mean, over_networks
from mesascope.studies.controlled.networks import Cell
from mesascope.studies.measure import Measure, each
from mesascope.studies.pictures import Column, lines, only, rows, table
from mesascope.studies.rules import Derived, Where, where
from mesascope.types import Control, Figure, Measurement, Scalar

NULL = "the same variant, networks split in two"
DESCENT = "own polynomial"
"""The class of what steps along gradients compute."""
EXPLAINED = 2
"""Seeds of each variant whose networks are described."""


def error(cells: Sequence[Cell]) -> tuple[Measure, ...]:
    """The held-out error of every network; ``smoke`` asks one seed."""
    return each(cells, errors.NAME, Cell.label, smoke=_first(cells), prompts={"n": 1024})


def explained(cells: Sequence[Cell]) -> tuple[Measure, ...]:
    """Which classes of functions the answers of the first networks of each variant lie in."""
    some = [cell for cell in cells if cell.seed < EXPLAINED]
    return each(some, explaining.NAME, Cell.label, smoke=_first(cells)[:1], prompts={"prompts": 200})


def _first(cells: Sequence[Cell]) -> list[Cell]:
    """One network of each variant, of the first group."""
    return [cell for cell in cells if cell.seed == 0 and cell.group == cells[0].group]


def relative(of: Where, variant: str, less: str, *, comparisons: int = 1) -> Derived:
    """By how much a variant's mean is above another's, as a share of the latter's; paired by seed, by group."""
    a, b = (_narrowed(of, name) for name in (variant, less))

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        mine = by_seed(a.among(found))
        theirs = {_place(key): values for key, values in by_seed(b.among(found)).items()}
        return [
            _difference(values, theirs[_place(key)], f"{variant} over {less}", comparisons)
            for key, values in mine.items()
            if _place(key) in theirs
        ]

    return Derived(words=f"{variant} over {less}, {of}", of=among, uses=(a, b))


def growth(quantity: str, variant: str) -> Derived:
    """By how much a number is higher in each layer than in the one before, over a variant's networks."""
    of = where(quantity, variant=variant)

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        by_layer: dict[int, dict[Scalar, Measurement]] = {}
        for m in of.among(found):
            by_layer.setdefault(int(m.coordinates["layer"]), {})[m.coordinates["seed"]] = m  # type: ignore[arg-type]
        made = []
        for layer, before in zip(sorted(by_layer)[1:], sorted(by_layer), strict=False):
            higher = [difference(m, by_layer[before][seed]) for seed, m in by_layer[layer].items()]
            made.append(replace(mean(higher), coordinates={"variant": variant, "layer": layer}))
        return made

    return Derived(words=f"growth from layer to layer of {of}", of=among, uses=(of,))


def _narrowed(of: Where, variant: str) -> Where:
    return replace(of, coordinates={**of.coordinates, "variant": (variant,)})


def _place(key: Key) -> Key:
    return tuple((k, v) for k, v in key if k != "variant")


def _difference(
    mine: Mapping[Scalar, Measurement], theirs: Mapping[Scalar, Measurement], words: str, comparisons: int
) -> Measurement:
    seeds = [seed for seed in mine if seed in theirs]
    base = fmean(theirs[seed].value for seed in seeds)
    shares = [(mine[seed].value - theirs[seed].value) / base for seed in seeds]
    half = len(seeds) // 2
    split = fmean(theirs[s].value for s in seeds[:half]) - fmean(theirs[s].value for s in seeds[half:]) if half else 0.0
    first = mine[seeds[0]]
    return Measurement(
        instrument=first.instrument,
        quantity=f"{first.quantity}, relative difference",
        value=fmean(shares),
        interval=interval(shares, 1 - 0.05 / comparisons),
        n=len(seeds),
        coordinates={**{k: v for k, v in first.coordinates.items() if k not in ("seed", "variant")}, "variant": words},
        controls=(
            Control(kind="positive", name=SEEN, value=detectable(shares, comparisons), interval=None),
            Control(kind="negative", name=NULL, value=split / base, interval=None),
        ),
    )


MSE = where(errors.MSE)


def means(found: Sequence[Measurement], of: Where = MSE, by: str = "group") -> Figure:
    """Every variant's mean error, with its interval over networks, as bars.

    Args:
        found: all measurements.
        of: which errors.
        by: the coordinate that the picture is repeated for.
    """
    drawn = shown(over_networks(of).among(found), variant="variant", **{by: by})
    return Figure(
        name="by-variant",
        section="Variants",
        title="Held-out error by variant",
        caption="Mean over networks that differ in the seed alone, with 95 % intervals over networks.",
        kind="bars",
        rows=drawn,
        x="variant",
        y="value",
        low="low",
        high="high",
        facet=by if len({row[by] for row in drawn}) > 1 else "",
        titles={"value": "mean squared error"},
    )


def along(found: Sequence[Measurement], of: str, *, name: str, title: str, axis: str, log: bool = False) -> Figure:
    """Means over networks along a coordinate, as a line with its interval over networks.

    Args:
        found: the means.
        of: the coordinate; layers are counted from one.
        name, title, axis: of the figure, and what the number is called.
        log: whether the coordinate's axis is logarithmic.
    """
    return lines(
        name=name,
        section=f"By {of}",
        title=title,
        caption="Mean over networks that differ in the seed alone, with 95 % intervals over networks.",
        rows=shown(found, **{of: lambda m: int(m.coordinates[of]) + (of == "layer")}),
        x=of,
        y="value",
        titles={"value": axis},
        log=("x",) if log else (),
    )


def shown(found: Sequence[Measurement], **columns: Column) -> tuple[dict[str, Scalar], ...]:
    """Rows of means of one quantity; see `mesascope.studies.pictures.rows`."""
    return rows(found, found[0].quantity, "value", **columns) if found else ()


def against_description(found: Sequence[Measurement], of: Where = MSE) -> tuple[Figure, ...]:
    """Our own question: what each network computes, beside this error; as a picture and as a table."""
    error_of = {_network(m): m.value for m in of.among(found)}
    networks: dict[tuple[Scalar, ...], dict[str, Scalar]] = {}
    for m in only(found, quantity=explaining.SHARE):
        if m.coordinates["distribution"] != "training":
            continue
        variant, group, seed = key = _network(m)
        row = networks.setdefault(key, {"variant": variant, "group": group, "seed": seed, "error": error_of.get(key)})
        row[str(m.coordinates["class"])] = round(m.value, 4)
        if m.coordinates["holds"]:
            row["holds"] = str(m.coordinates["class"])
    several = len({row["group"] for row in networks.values()}) > 1
    picture = Figure(
        name="error-and-algorithm",
        section="What is computed",
        title="Error against what is computed",
        caption="The first two networks of each variant, joined by a line. To the right: how much of the answers each prompt's "
        "own polynomial in XᵀX explains, which is what steps of descent compute, whatever their step sizes.",
        kind="lines",
        rows=tuple(row for row in networks.values() if row["error"] is not None and DESCENT in row),
        x=DESCENT,
        y="error",
        series="variant",
        facet="group" if several else "",
        titles={DESCENT: "share that steps of descent explain", "error": "mean squared error"},
    )
    listed = table(
        name="algorithm",
        section="What is computed",
        title="Does the variant change the algorithm? Error beside what is computed",
        caption="Of the first two networks of each variant, on their training distribution: the share of the answers that each "
        "class explains, from any function linear in the labels to a named one, and the last class that holds.",
        rows=tuple({"holds": "none", **row} for row in networks.values()),
    )
    return tuple(figure for figure in (picture, listed) if figure.rows)


def _network(m: Measurement) -> tuple[Scalar, Scalar, Scalar]:
    return m.coordinates["variant"], m.coordinates["group"], m.coordinates["seed"]


def powers(found: Sequence[Measurement], contrasts: Sequence[Derived]) -> tuple[str, ...]:
    """For every comparison, in a sentence: the difference, its interval, and which effect would have been seen."""
    said = []
    for contrast in contrasts:
        for m in contrast.among(found):
            if m.interval is None:
                continue  # of one pair of networks
            low, high = m.interval
            seen = next(c.value for c in m.controls if c.name == SEEN)
            places = [str(m.coordinates["group"])] if m.coordinates["group"] != "all" else []
            places += [f"{m.coordinates['examples']} examples"] if "examples" in m.coordinates else []
            named = ", ".join([str(m.coordinates["variant"]), *places])
            said.append(
                f"{named}: {m.value:+.1%} [{low:+.1%}, {high:+.1%}] over {m.n} pairs of networks; an effect of {seen:.1%} would "
                "have been seen."
            )
    return tuple(said)
