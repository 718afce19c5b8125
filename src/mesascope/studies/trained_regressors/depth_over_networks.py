"""Do the claims about depth hold over networks, and not only over prompts? Ten networks of each depth that differ in the seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mesascope.instruments.behaving import errors
from mesascope.instruments.reading import probes
from mesascope.instruments.spectral import krylov
from mesascope.instruments.spectral.krylov import FILTER, FIXED
from mesascope.studies.averaging import SEEN, contrast, mean, over_networks, scatter
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import OfDepth, of_depth
from mesascope.studies.pictures import lines, table
from mesascope.studies.rules import Derived, Rule, Where, known, where
from mesascope.studies.study import Claim, Study, own, published, sourced
from mesascope.studies.trained_regressors.probed import COSINE, MOMENT, UNTRAINED, W, last
from mesascope.types import Figure, Measurement, Scalar, Site, bounds

DEPTHS = (1, 2, 3, 4, 6, 8)
SEEDS = (42, 100, *range(101, 109))
LEAST = 8
"""Networks without which nothing is claimed of a depth: of ten, two may fail to train."""
NETWORKS = tuple(of_depth(layers, seed) for layers in DEPTHS for seed in SEEDS)
AT_SMOKE = (of_depth(1, 42), of_depth(2, 42), of_depth(2, 100))
TRAINED, BUILT = "trained", "hand-built"
TARGETS = {W: probes.TARGETS[W], MOMENT: probes.moment}
FILTERED = where(krylov.R2, form=FILTER, coefficients=FIXED)
ERROR, COS_W, COS_MOMENT, FILTERS = "error", "cos(w)", "cos(Xᵀy)", "share that one filter explains"
ASKED: Mapping[str, Where] = {
    ERROR: where(errors.MSE),
    COS_W: where(COSINE, target=W),
    COS_MOMENT: where(COSINE, target=MOMENT),
    FILTERS: FILTERED,
}
"""What is asked of every network. Errors differ by factors, so they have geometric means, and ratios."""
PAIRS = tuple(zip(DEPTHS[1:], DEPTHS, strict=False))
COMPARISONS = len(PAIRS)
UNALIKE = 2.0
"""Standard errors over prompts by which networks scatter, above which an interval over prompts is too narrow for a depth."""


def _measures(network: OfDepth | str, layers: int, label: Mapping[str, Scalar], smoke: bool) -> tuple[Measure, ...]:
    """Error, probes after the last sub-layer, and the best filter of the eigenvalues."""
    site = Site.parse(last(layers))
    asked = (
        (errors.NAME, {"n": 512}, {}, ()),
        (probes.NAME, {"fit": 384, "score": 384}, {"targets": TARGETS, "sites": (site,)}, (where(COSINE),)),
        (krylov.NAME, {"fit": 256, "score": 128}, {}, (FILTERED,)),
    )
    return tuple(
        Measure(
            instrument=name,
            network=network,
            label={"layers": layers, **label},
            prompts=sizes,
            options=options,
            task=NETWORKS[0].task,
            kept=kept,
            at_smoke=smoke,
        )
        for name, sizes, options, kept in asked
    )


def _at(name: str, layers: int) -> Where:
    """What is asked of the networks of a depth."""
    of = ASKED[name]
    return replace(of, coordinates={**of.coordinates, "layers": (layers,), "network": (TRAINED,)})


def _mean(name: str, layers: int, low: float = -math.inf, high: float = math.inf) -> Rule:
    """The mean over the networks of a depth must lie there, interval over networks and all."""
    return over_networks(_at(name, layers), least=LEAST, geometric=name == ERROR).between(low, high)


def _contrast(name: str, deeper: int, less: int, least: int = LEAST) -> Derived:
    return contrast(_at(name, deeper), _at(name, less), least=least, geometric=name == ERROR, comparisons=COMPARISONS)


def _scatter(name: str, layers: int, least: int = LEAST) -> Derived:
    return scatter(_at(name, layers), least=least, geometric=name == ERROR)


def _scatters(*depths: int) -> tuple[Derived, ...]:
    return tuple(_scatter(name, n) for n in depths for name in (ERROR, COS_W, COS_MOMENT))


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_picture(found, (COS_W, COS_MOMENT, FILTERS)), _picture(found, (ERROR,)), _table(found))


def _picture(found: Sequence[Measurement], names: Sequence[str]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for name in names:
        for layers, group in _by_depth(found, name).items():
            at: dict[str, Scalar] = {"of": name, "layers": layers}
            m = mean(group, geometric=name == ERROR)
            rows.append({**at, "who": "mean over networks", "value": m.value, **_ends(m)})
            rows.append({**at, "who": UNTRAINED, "value": known(m, UNTRAINED).value})
            values = [m.value for m in group]
            rows += [
                {**at, "who": "lowest network", "value": min(values)},
                {**at, "who": "highest network", "value": max(values)},
            ]
        rows += [
            {"of": name, "layers": m.coordinates["layers"], "who": "hand-built gradient descent", "value": m.value}
            for m in replace(ASKED[name], coordinates={**ASKED[name].coordinates, "network": (BUILT,)}).among(found)
        ]
    of_errors = ERROR in names
    return lines(
        name="error-over-networks" if of_errors else "networks-by-depth",
        section="Networks",
        title="Error over networks, by depth" if of_errors else "What networks hold and compute, by depth",
        caption=f"The {'geometric ' if of_errors else ''}mean of each depth, with its 95 % interval over networks from "
        f"{LEAST} networks on, and the networks with the lowest and the highest value. Controls: untrained networks, and "
        "gradient descent built by hand (step size 0.25, the weights kept at every token).",
        rows=tuple(rows),
        x="layers",
        y="value",
        series="who",
        facet="" if of_errors else "of",
        titles={"value": "mean squared error" if of_errors else "cosine, or share"},
        log=("y",) if of_errors else (),
    )


def _ends(m: Measurement) -> dict[str, Scalar]:
    """The interval of a mean over enough networks; of two or three it is wider than the picture."""
    return bounds(m.interval if m.n >= LEAST else None)


def _by_depth(found: Sequence[Measurement], name: str) -> dict[int, list[Measurement]]:
    groups = {layers: list(_at(name, layers).among(found)) for layers in DEPTHS}
    return {layers: group for layers, group in groups.items() if group}


def _table(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for name in ASKED:
        for layers, group in _by_depth(found, name).items():
            m, first = mean(group, geometric=name == ERROR), bounds(group[0].interval)
            scattered = _scatter(name, layers, 2).among(found)
            rows.append(
                {
                    "of": name,
                    "layers": layers,
                    "networks": len(group),
                    "mean": m.value,
                    **_ends(m),
                    "seed": group[0].coordinates["seed"],
                    "its own": group[0].value,
                    "its own, from": first.get("low"),
                    "its own, to": first.get("high"),
                    "scatter": scattered[0].value if scattered else None,
                }
            )
    return table(
        name="over-networks",
        section="Networks",
        title="Intervals over networks, beside the interval over prompts of a single network",
        caption="Mean over networks (of errors the geometric one) with its 95 % interval over networks, from "
        f"{LEAST} networks on; then one with its "
        "95 % interval over prompts. Scatter: the standard deviation over networks in standard errors over prompts; at 1, an "
        "interval over the prompts of one network is about as wide as networks are apart.",
        rows=tuple(rows),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    counts = ", ".join(f"{len(group)} of {layers}" for layers, group in _by_depth(found, ERROR).items())
    said = [f"Networks measured, by their number of layers: {counts}; {len(SEEDS)} of each are planned."]
    for name in (ERROR, COS_W, COS_MOMENT):
        for deeper, less in PAIRS:
            for m in _contrast(name, deeper, less).among(found):
                assert m.interval is not None, "contrasts have one"
                seen, how = known(m, SEEN).value, "times" if name == ERROR else "above"
                effect = f"a factor of {seen:.2f} either way" if name == ERROR else f"a difference of {seen:.2f}"
                said.append(
                    f"{name}, {deeper} layers: {m.value:.3g} {how} that of {less} [{m.interval[0]:.3g}, {m.interval[1]:.3g}]; "
                    f"{m.n} networks would have shown {effect}, with a probability of 80 %."
                )
    return tuple(said)


def _published(layers: int) -> tuple[str, ...]:
    return tuple(
        path
        for path in published("B")
        if path.startswith(tuple(f"depth_probe_cos/{layers}/{t}/" for t in ("w", "xty")))
    )


def _decodable(text: str, layers: int, low: float, high: float, needs: float | None) -> Claim:
    """One of the source's claims about what a depth holds; its error is needed of the network that ships."""
    return sourced(
        text,
        *(_mean(name, layers, low, high) for name in (COS_W, COS_MOMENT)),
        published=_published(layers),
        needs=None if needs is None else {of_depth(layers, SEEDS[0]): needs},
    )


STUDY = Study(
    name="depth-over-networks",
    title="Do the claims about depth hold over networks, and not only over prompts?",
    measures=(
        *(
            m
            for layers in DEPTHS
            for m in _measures(
                f"construction:primal-gradient-descent?layers={layers}&step_size=0.25", layers, {"network": BUILT}, True
            )
        ),
        *(
            m
            for network in NETWORKS
            for m in _measures(network, network.layers, {"network": TRAINED, "seed": network.seed}, network in AT_SMOKE)
        ),
    ),
    claims=(
        own(
            "The measurements work: in networks that are built to descend, and to keep the weights at the query, w is found, one "
            "filter of the eigenvalues explains the answers, and the error is below that of a single example.",
            where(COSINE, target=W, network=BUILT).between(low=0.8),
            where(krylov.R2, form=FILTER, coefficients=FIXED, network=BUILT).between(low=0.98),
            where(errors.MSE, network=BUILT).between(high=0.7),
        ),
        sourced(
            "Over networks, one layer stays on a plateau near what answering zero earns.",
            _mean(ERROR, 1, 0.6, 1.05),
        ),
        _decodable("Over networks, two layers hold w and Xᵀy.", 2, 0.8, math.inf, 0.002),
        _decodable("Over networks, three layers hold w and Xᵀy.", 3, 0.8, math.inf, 5e-4),
        _decodable("Over networks, four layers hold neither w nor Xᵀy.", 4, -math.inf, 0.3, 5e-5),
        _decodable("Over networks, six layers hold a third of w and Xᵀy, give or take 0.15.", 6, 0.18, 0.49, 5e-5),
        _decodable("Over networks, eight layers hold a third of w and Xᵀy, give or take 0.15.", 8, 0.14, 0.46, None),
        own(
            "Over networks, two layers have a lower error than one, by a tenth at least.",
            _contrast(ERROR, 2, 1).between(high=0.9),
        ),
        own(
            "Over networks, every further depth has a lower error than the depth before it, by a tenth at least.",
            *(_contrast(ERROR, deeper, less).between(high=0.9) for deeper, less in PAIRS[1:]),
        ),
        own(
            "Over networks, one filter of the eigenvalues of XᵀX, the same for all prompts, explains less than half of one "
            "layer's answers, and 99 % of two layers'.",
            _mean(FILTERS, 1, high=0.5),
            _mean(FILTERS, 2, low=0.99),
        ),
        own(
            "Over networks, one filter explains 99 % of the answers from three layers on.",
            *(_mean(FILTERS, layers, low=0.99) for layers in DEPTHS[2:]),
        ),
        own(
            f"Networks of one or two layers are alike: in error, cos(w) and cos(Xᵀy) they scatter by {UNALIKE:g} standard errors "
            "over prompts at most, so that an interval over the prompts of one is not much too narrow.",
            *(each.between(high=UNALIKE) for each in _scatters(1, 2)),
        ),
        own(
            "From three layers on an interval over prompts is too narrow for a depth: in error, cos(w) and cos(Xᵀy) networks "
            f"scatter by {UNALIKE:g} standard errors over prompts at least.",
            *(each.between(low=UNALIKE) for each in _scatters(*DEPTHS[2:])),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source has one to three networks of a depth, trained for 200,000 steps. Here all have the laptop's recipe of "
        "6,000 steps, at profile full too. At most two networks of a depth ship; of the others, what was "
        "measured does.",
        f"A claim is decided with at least {LEAST} networks of each depth that it is about. Intervals of comparisons of depths "
        f"hold at 95 % for all {COMPARISONS} of a quantity at once; all networks answer the same prompts.",
        "Rules on what is decodable are those of primal-to-dual, whose networks of seeds 42 and 100 are among these; one rule "
        "holds for w and Xᵀy where theirs differ by 0.01 or 0.02. Those on filters and on scatter were written when only "
        "the networks that ship had been seen.",
    ),
)
