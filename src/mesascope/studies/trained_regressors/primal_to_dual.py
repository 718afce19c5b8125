"""Does a deeper network give up the weights for a kernel? Probes, matching answers, and a causal test, by depth."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from mesascope.algorithms import RBF, Exponential, Linear
from mesascope.instruments.behaving import matching
from mesascope.instruments.intervening import causal
from mesascope.instruments.intervening.causal.changes import ANSWERED, DONOR
from mesascope.instruments.intervening.causal.probed import ANSWER, WEIGHTS
from mesascope.instruments.reading import probes
from mesascope.instruments.statistics.contrast import difference
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import TWO_LAYERS, Network
from mesascope.studies.pictures import lines, only, rows, table
from mesascope.studies.rules import Derived, Where, apart, known, where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.studies.trained_regressors.probed import ALONE, COSINE, MOMENT, UNTRAINED, W, last
from mesascope.types import Figure, Measurement, Scalar, bounds

DEEPER = tuple(Network(layers=layers, seed=seed) for layers in (3, 4, 6) for seed in (42, 100))
NETWORKS = (Network(layers=1), *TWO_LAYERS, *DEEPER, Network(layers=5), Network(layers=8))
FIRST, DEEP = TWO_LAYERS[0], Network(layers=4)
ALPHA = "α: RBF, bandwidth 1"
MAIN: Mapping[str, probes.Target] = {
    W: probes.TARGETS[W],
    MOMENT: probes.moment,
    ALPHA: probes.KernelWeights(kernel=RBF(bandwidth=1.0)),
}
KERNELS: Mapping[str, probes.Target] = {
    "α: RBF, bandwidth 0.5": probes.KernelWeights(kernel=RBF(bandwidth=0.5)),
    "α: RBF, bandwidth 2": probes.KernelWeights(kernel=RBF(bandwidth=2.0)),
    "α: RBF, bandwidth 4": probes.KernelWeights(kernel=RBF(bandwidth=4.0)),
    "α: exponential, temperature 1": probes.KernelWeights(kernel=Exponential(temperature=1.0)),
    "α: exponential, temperature 5": probes.KernelWeights(kernel=Exponential(temperature=5.0)),
    "α: linear": probes.KernelWeights(kernel=Linear()),
}
SOURCE = {W: "w", MOMENT: "xty", ALPHA: "alpha"}
UNCENTRED = probes.UNCENTRED.name
READ, AGREEMENT = causal.READ.name, causal.AGREEMENT.name
QUERY, CONSTANT = "query alone", probes.CONSTANT
RBFS = (ALPHA, *(name for name in KERNELS if name.startswith("α: RBF")))
SMOOTHERS = tuple(family.name for family in matching.SMOOTHERS)
PUBLISHED_DEPTHS = (2, 3, 4, 5, 6, 8)
LINES = functools.partial(lines, x="layers")


def _label(network: Network) -> dict[str, Scalar]:
    return {"network": network.name, "layers": network.layers, "seed": network.seed}


def _answers(network: Network) -> tuple[Measure, ...]:
    """Probes of a network, and matching with families of learners."""
    measure = functools.partial(Measure, network=network, label=_label(network), at_smoke=network in (FIRST, DEEP))
    targets = {**MAIN, **(KERNELS if network.seed == FIRST.seed else {})}
    return (
        measure(
            instrument=probes.NAME,
            prompts={"fit": 384, "score": 384},
            options={"targets": targets, "uncentred": True},
        ),
        measure(instrument=matching.NAME, prompts={"n": 256}),
    )


def _overwriting(network: Network) -> Measure:
    """What happens when a w that is read is overwritten, and when an answer is."""
    return Measure(
        instrument=causal.NAME,
        network=network,
        label=_label(network),
        prompts={"n": 64, "fit": 256},
        kept=(where(variable=(WEIGHTS, ANSWER), algorithm=ANSWERED),),
        at_smoke=network == FIRST,
    )


def _of(found: Iterable[Measurement], quantity: str, *layers: int, **coordinates: str) -> tuple[Measurement, ...]:
    """Measurements of networks with these numbers of layers, or of all networks."""
    depth = {"layers": layers} if layers else {}
    return where(quantity, **depth, **coordinates).among(tuple(found))


def _last(found: Iterable[Measurement], target: str, quantity: str = COSINE, *layers: int) -> list[Measurement]:
    """Each network's cosine at the query after the last sub-layer."""
    everywhere = _of(found, quantity, *layers, target=target)
    return [m for m in everywhere if m.coordinates["site"] == last(int(m.coordinates["layers"] or 0))]


def _highest(found: Iterable[Measurement], quantity: str, *layers: int, **coordinates: str) -> list[Measurement]:
    """Each network's measurement of the largest value: that of its best sub-layer."""
    best: dict[Scalar, Measurement] = {}
    for m in _of(found, quantity, *layers, **coordinates):
        name = m.coordinates["network"]
        best[name] = max(best.get(name, m), m, key=lambda each: each.value)
    return list(best.values())


def _above(m: Measurement, control: str) -> Measurement:
    """By how much it exceeds what a control came to; the other controls likewise."""
    less = known(m, control)
    return replace(
        difference(m, less, **m.coordinates),
        quantity=f"{m.quantity} above that of {control}",
        controls=tuple(replace(c, value=c.value - less.value, interval=None) for c in less.controls),
    )


def _cosine(target: str, layers: int) -> Where:
    return where(COSINE, target=target, layers=layers, site=last(layers))


def _beyond(control: str, targets: Sequence[str], quantity: str = COSINE, *layers: int) -> Derived:
    """By how much probes exceed a control."""
    return Derived(
        words=f"{quantity} of {', '.join(targets)} above that of {control}",
        of=lambda found: [_above(m, control) for target in targets for m in _last(found, target, quantity, *layers)],
    )


_TWO = where(COSINE, target=ALPHA, network=FIRST.name, site=last(2))
_GUESSED = Derived(
    words="uncentred cos(α) of a constant guess", of=lambda found: [known(_last(found, ALPHA, UNCENTRED)[0], CONSTANT)]
)
_AGREES = Derived(
    words="agreement where w is overwritten, two and three layers",
    of=lambda found: _highest(found, AGREEMENT, 2, 3, variable=WEIGHTS, **{"with": DONOR}),
)
_FOUND = Derived(
    words="R² of a probe for w at its best, four layers and more",
    of=lambda found: _highest(found, READ, 4, 6, variable=WEIGHTS),
)
_ANSWERS = Derived(
    words="agreement where the answer is overwritten",
    of=lambda found: _highest(found, AGREEMENT, variable=ANSWER, **{"with": DONOR}),
)


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_by_depth(found), _matches(only(found, seed=FIRST.seed)), _alphas(found), _overwritten(found))


def _by_depth(found: Sequence[Measurement]) -> Figure:
    drawn: list[dict[str, Scalar]] = []
    figures = published("B")
    for target, theirs in SOURCE.items():
        for m in _last(found, target):
            at: dict[str, Scalar] = {"target": target, "layers": m.coordinates["layers"]}
            ours = {"who": f"ours, seed {m.coordinates['seed']}", "cosine": m.value, **bounds(m.interval)}
            drawn.append({**at, **ours})
            if m.coordinates["seed"] == FIRST.seed:
                telling = (QUERY, UNTRAINED, *((ALONE,) if target == W else ()))
                drawn += [{**at, "who": c.name, "cosine": c.value} for c in m.controls if c.name in telling]
        for layers in PUBLISHED_DEPTHS:
            for seed in range(3):
                if (value := figures.get(f"depth_probe_cos/{layers}/{theirs}/{seed}")) is not None:
                    row = {"who": f"source B, network {seed + 1}", "cosine": value}
                    drawn.append({"target": target, "layers": layers, **row})
    return LINES(
        name="probes-by-depth",
        section="Probes",
        title="What is linearly decodable at the query after the last sub-layer, by depth",
        caption="Cosine between a ridge probe's prediction and the target, both centred, on held-out prompts. Controls: a probe "
        "of the query alone, one of Xᵀy alone, and the untrained network.",
        rows=tuple(drawn),
        y="cosine",
        series="who",
        facet="target",
    )


def _matches(found: Sequence[Measurement]) -> Figure:
    return LINES(
        name="matches-by-depth",
        section="Matching",
        title="How near the answers come to the best member of each family",
        caption="R² of the answers about those of the best member, chosen on other prompts; seed 42. Kernel ridge regression "
        "becomes ridge regression as its kernel widens; a smoother does not.",
        rows=rows(found, matching.AT_BEST.name, "R²", layers="layers", family="family"),
        y="R²",
        series="family",
    )


def _alphas(found: Sequence[Measurement]) -> Figure:
    drawn: list[dict[str, Scalar]] = []
    controls = (QUERY, "raw prompt", UNTRAINED, "another prompt's target")
    cosines = ((COSINE, "", controls), (UNCENTRED, ", uncentred", (CONSTANT,)))
    for target, (quantity, how, shown) in product((ALPHA, *KERNELS), cosines):
        for m in _last(found, target, quantity):
            if m.coordinates["seed"] != FIRST.seed:
                continue
            at: dict[str, Scalar] = {"kernel": target, "layers": m.coordinates["layers"]}
            drawn.append({**at, "probe of": f"the network{how}", "cosine": m.value, **bounds(m.interval)})
            drawn += [{**at, "probe of": f"{c.name}{how}", "cosine": c.value} for c in m.controls if c.name in shown]
    return LINES(
        name="alpha-by-kernel",
        section="Probes",
        title="α: the kernel of every example with the query, by depth",
        caption="Cosine of a probe at the query after the last sub-layer, beside one that sees nothing but the query. Uncentred, "
        "beside the mean α of the fitting prompts, which has seen nothing at all.",
        rows=tuple(drawn),
        y="cosine",
        series="probe of",
        facet="kernel",
    )


def _overwritten(found: Sequence[Measurement]) -> Figure:
    def at(m: Measurement) -> tuple[Scalar, ...]:
        return m.coordinates["network"], m.coordinates["site"], m.coordinates["variable"]

    changed = {at(m): m.value for m in only(found, quantity=AGREEMENT, **{"with": DONOR})}
    drawn = [
        {
            **dict(zip(("network", "after", "variable"), at(m), strict=True)),
            "R² of the probe": m.value,
            "agreement": changed.get(at(m)),
        }
        for m in only(found, quantity=READ)
    ]
    return table(
        name="overwritten",
        section="Causal test",
        title="Is the answer made from the w that a probe reads?",
        caption="R² of a probe at the query, for w and for its product with the query, which is the answer. Where it is at least "
        "0.5, what is read is overwritten with a donor's: agreement is 1 if the answer changes as it should, 0 if it does not "
        "change.",
        rows=tuple(drawn),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    def told(measured: Iterable[Measurement]) -> str:
        return ", ".join(f"{m.value:.2f} ({m.coordinates['network']})" for m in measured)

    def guessed(target: str) -> float:
        return known(_last(found, target, UNCENTRED)[0], CONSTANT).value

    theirs = [value for path, value in published("B").items() if "/alpha/" in path]
    return (
        f"α of the RBF kernel of bandwidth 1: cosine {told(_last(found, ALPHA))}. A probe that sees the query and nothing else "
        f"has {known(_last(found, ALPHA)[0], QUERY).value:.2f}: a query far from the origin is far from every example. As far as "
        "the networks' cosine does not exceed that, it says nothing about kernels.",
        f"Uncentred it is {told(_last(found, ALPHA, UNCENTRED))}; of a constant guess, the mean α of other prompts, "
        f"{guessed(ALPHA):.2f} (the source's figures: {min(theirs):.2f} to {max(theirs):.2f}). A constant guess of w and of Xᵀy, "
        f"whose means are zero, has {guessed(W):.2f} and {guessed(MOMENT):.2f}.",
        *(
            f"{kernel}: cosine {told(at)}; of a probe of the query alone {known(at[0], QUERY).value:.2f}. Uncentred: "
            f"{told(_last(found, kernel, UNCENTRED))}; of a constant guess {guessed(kernel):.2f}."
            for kernel in KERNELS
            if (at := _last(found, kernel))
        ),
        f"cos(w) at the sub-layer where it is largest: {told(_highest(found, COSINE, target=W))}; cos(Xᵀy): "
        f"{told(_highest(found, COSINE, target=MOMENT))}. Xᵀy alone points to w with "
        f"{known(_last(found, W)[0], ALONE).value:.2f}.",
        f"R² of a probe for w before the last sub-layer, at its best: {told(_highest(found, READ, variable=WEIGHTS))}.",
        f"Agreement where w is overwritten: "
        f"{told(_highest(found, AGREEMENT, variable=WEIGHTS, **{'with': DONOR})) or 'w is read nowhere'}; where the answer is: "
        f"{told(_ANSWERS.among(found))}.",
        "R² of the answers about the best Nadaraya–Watson smoother (RBF): "
        + told(where(matching.AT_BEST, family=SMOOTHERS[0]).among(found))
        + "; about the best ridge regression: "
        + told(where(matching.AT_BEST, family="ridge").among(found))
        + ".",
    )


def _paths(layers: int, target: str) -> tuple[str, ...]:
    start = f"depth_probe_cos/{layers}/{SOURCE[target]}/"
    return tuple(path for path in published("B") if path.startswith(start))


_NEEDS = {FIRST: 0.002, Network(layers=3): 5e-4, DEEP: 5e-5}
"""The source's networks have 0.0009 at two layers and about 1e-5 at four; three lie between."""

STUDY = Study(
    name="primal-to-dual",
    title="Does a network of four layers give up the weights for a kernel?",
    measures=(
        *(measure for network in NETWORKS for measure in _answers(network)),
        *(_overwriting(network) for network in NETWORKS if network.layers > 1),
    ),
    claims=(
        sourced(
            "Up to three layers, w and Xᵀy are linearly decodable after the last sub-layer.",
            *(_cosine(target, n).between(low=0.8) for n in (2, 3) for target in (W, MOMENT)),
            published=tuple(path for n in (2, 3) for target in (W, MOMENT) for path in _paths(n, target)),
            needs={FIRST: _NEEDS[FIRST], Network(layers=3): _NEEDS[Network(layers=3)]},
        ),
        sourced(
            "With four layers, neither w nor Xᵀy is linearly decodable after the last sub-layer.",
            *(_cosine(target, 4).between(high=0.3) for target in (W, MOMENT)),
            published=tuple(path for target in (W, MOMENT) for path in _paths(4, target)),
            needs={DEEP: _NEEDS[DEEP]},
        ),
        sourced(
            "With five layers, neither is decodable either: cosines of w and Xᵀy are at most 0.3, and that of α is about 0.64.",
            _cosine(W, 5).between(high=0.3),
            _cosine(MOMENT, 5).between(high=0.3),
            _cosine(ALPHA, 5).between(0.54, 0.74),
            published=tuple(path for target in SOURCE for path in _paths(5, target)),
        ),
        sourced(
            "Six layers hold a third of w and Xᵀy: cosines of 0.33 and 0.34, and 0.61 for α, give or take 0.15.",
            _cosine(W, 6).between(0.18, 0.48),
            _cosine(MOMENT, 6).between(0.19, 0.49),
            _cosine(ALPHA, 6).between(0.46, 0.76),
            published=tuple(path for target in SOURCE for path in _paths(6, target)),
            needs={Network(layers=6): 5e-5},
        ),
        sourced(
            "Eight layers hold a third of w and Xᵀy too: cosines of 0.29 and 0.31, and 0.54 for α, give or take 0.15.",
            _cosine(W, 8).between(0.14, 0.44),
            _cosine(MOMENT, 8).between(0.16, 0.46),
            _cosine(ALPHA, 8).between(0.39, 0.69),
            published=tuple(path for target in SOURCE for path in _paths(8, target)),
        ),
        sourced(
            "α is decodable with a cosine of 0.60 to 0.74 at two, three and four layers, give or take 0.1.",
            *(_cosine(ALPHA, n).between(0.5, 0.84) for n in (2, 3, 4)),
            published=tuple(path for n in (2, 3, 4) for path in _paths(n, ALPHA)),
        ),
        sourced(
            "cos(α) rises from two layers to four, by 0.03 or more.",
            apart("cos(α), four layers less two", _cosine(ALPHA, 4), _TWO).between(low=0.03),
            published=(*_paths(2, ALPHA), *_paths(4, ALPHA)),
            needs={FIRST: _NEEDS[FIRST], DEEP: _NEEDS[DEEP]},
        ),
        own(
            "A probe for α finds no more than the query alone says, at any depth: its cosine is larger by 0.05 at most.",
            _beyond(QUERY, (ALPHA,)).between(high=0.05),
        ),
        own(
            "A cosine of 0.60 to 0.74 (give or take 0.1) for α shows nothing if it is not centred: a constant guess, which has "
            "seen nothing of the prompt, has it too, and the probe exceeds it by 0.1 at most, at any depth and bandwidth.",
            _GUESSED.between(0.5, 0.84),
            _beyond(CONSTANT, RBFS, UNCENTRED).between(high=0.1),
        ),
        own(
            "Where w is decodable, at two and three layers, the probe finds no more than Xᵀy alone gives: its cosine is larger "
            "by 0.05 at most.",
            _beyond(ALONE, (W,), COSINE, 2, 3).between(high=0.05),
        ),
        own(
            "At no depth do the answers match a kernel smoother better than ridge regression.",
            where(matching.LEAD, family=SMOOTHERS).between(high=0.0),
        ),
        own(
            "Up to three layers the answer is made from the w that is read at the query, as it would be in a primal solution.",
            _AGREES.between(low=0.8),
        ),
        own(
            "From four layers on, w is nowhere at the query before the last sub-layer: a probe explains 0.2 of it at most.",
            _FOUND.between(high=0.2),
        ),
        own(
            "What a query carries is its answer: the answer that a probe reads at its best sub-layer, overwritten with another "
            "prompt's, arrives at the end as it is (agreement of 0.9 or more).",
            _ANSWERS.between(low=0.9),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source does not say where its cosines are read, whether they are centred, or which bandwidth α has. Here they are "
        "read at the query after the last sub-layer, centred, on held-out prompts, with bandwidth 1; other bandwidths and "
        "kernels stand beside it.",
        "The uncentred cosine of α is therefore measured too, beside that of a constant guess. That a constant guess has 0.53 to "
        "0.88 for some bandwidths was known before the rule was written; what the networks have was not.",
        "The source says that α rises from 0.62 at two layers to 0.60 to 0.72 at four, which by its own figures is no rise.",
        "'Primal' is put to the test as a claim on what the answer is made from: w is overwritten where a probe reads it, before "
        "the last sub-layer, since nothing after that can multiply it with the query.",
        "The rule for the answer that is overwritten was written when `two-layer` and `four-layer`, which are not of these "
        "networks, had been seen to agree with it.",
    ),
)
