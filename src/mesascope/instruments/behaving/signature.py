"""A cheap warning of prompts unlike those of training: do their streams share the two strongest directions of training's?

The streams at the queries of many prompts are the rows of a matrix. Its first two right singular vectors span a plane of the
stream's space, the signature. Agreement is the mean squared cosine of the angles between a setting's plane and that of training:
1 for the same plane, 2/width on average for a random one. Whether it warns is a question to the truth, which is measured beside
it: the subject's error over that of ridge regression in the same setting.

Source: Hill, Eyre & Creager 2025 (arXiv 2507.09440): prompts like those of training share their top two singular vectors, others
do not, and a measure of it goes with low loss.
Departs from source: its measure is not said in its summary; here it is the angle between planes, of the stream at the queries.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Ridge, run
from mesascope.instruments.asking.applicability import residual_sites, untrained
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.behaving.stress import RATIO, StressTest
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.ordering import rank_correlation
from mesascope.instruments.statistics.scores import measure, squared_error
from mesascope.records.checks import check_count
from mesascope.seeds import generator
from mesascope.types import Control, Measurement, Prompts, Site, Subject, Task, adjusted

NAME = "signature"
AGREEMENT, WARNS = "agreement with training's signature", "rank correlation of agreement and error"
DIRECTIONS = 2
REPEATS = 200  # of the bootstrap: each takes the singular vectors of every setting anew
AGAIN, TURNED = "training again, other prompts", "streams turned at random"
UNTRAINED, INPUTS, ITSELF = "untrained network", "size of the prompts alone", "the error itself"

Grams = Float[Tensor, "batch width width"]


def signature(
    subject: Subject,
    task: Task,
    *,
    table: Sequence[StressTest],
    seed: int = 0,
    n: int = 128,
    queries: int = 8,
    sites: Sequence[Site] | None = None,
) -> tuple[Measurement, ...]:
    """Agreement and error of every setting, and for every site the rank correlation of the two over the settings.

    A warning that always holds has rank correlation −1: the lower the agreement, the larger the error. Intervals of an agreement
    and of an error resample prompts; that of a rank correlation resamples settings, and the prompts in each.

    Controls. Of an agreement: training with other prompts (no shift, so near 1), and those streams turned by a random rotation (a
    planted shift, so near 2/width). Of a rank correlation: the error in place of the agreement (−1), the agreement of the
    untrained network, and of what needs no network: how far the size of inputs and labels is from training's.

    Args:
        subject: what to examine.
        task: its training task.
        table: the settings, at least three.
        seed: of the prompts, the rotation, the untrained weights and the resampling.
        n: number of prompts in each setting; training's signature is made from four times as many.
        queries: queries per prompt.
        sites: where in the residual stream; after the last layer by default.

    Raises:
        NotApplicable: the subject has no residual stream.
        ValueError: fewer than three settings.
    """
    check_count("the length of table", len(table), least=3, hint=" A rank correlation needs three settings or more.")
    chosen = residual_sites(subject)[-1:] if sites is None else tuple(sites)
    fresh = untrained(subject, seed)
    known = adjusted(task, queries=queries)
    training = known.sample(4 * n, seed=seed, stream=f"{NAME}/training")
    _, streams = at_queries(subject, training, chosen)
    planes = {site: _planes(_grams(held).sum(0)) for site, held in streams.items()}
    blank = None
    if fresh is not None:
        blank = {site: _planes(_grams(held).sum(0)) for site, held in at_queries(fresh, training, chosen)[1].items()}
    draws = bootstrap.weights(n, seed=seed, repeats=REPEATS)
    again = at_queries(subject, known.sample(n, seed=seed, stream=f"{NAME}/again"), chosen)[1]
    controls = {site: _shifts(again[site], planes[site], draws, seed) for site in chosen}

    found: list[Measurement] = []
    errors: list[Tensor] = []
    rivals: list[float] = []
    agreements: dict[Site, list[Tensor]] = {site: [] for site in chosen}
    unlearned: dict[Site, list[float]] = {site: [] for site in chosen}
    for row in table:
        prompts = row.sample(n, seed=seed, stream=NAME)
        answered, held = at_queries(subject, prompts, chosen)
        ratio, over = _error(answered, prompts, row, draws)
        found.append(over)
        errors.append(ratio)
        rivals.append(-abs(_size(prompts) - _size(training)))
        for site in chosen:
            agreements[site].append(_agreements(_grams(held[site]), planes[site], draws))
            found.append(_agreement(agreements[site][-1], row, site, controls[site], n))
        if fresh is not None and blank is not None:
            for site, plain in at_queries(fresh, prompts, chosen)[1].items():
                unlearned[site].append(float(_alike(_planes(_grams(plain).sum(0)), blank[site])))
    for site in chosen:
        beside = {INPUTS: rivals, **({UNTRAINED: unlearned[site]} if fresh is not None else {})}
        found.append(_warns(torch.stack(agreements[site], -1), torch.stack(errors, -1), beside, site, seed))
    return tuple(found)


def _error(
    answered: Float[Tensor, "batch query"], prompts: Prompts, row: StressTest, draws: Float[Tensor, "repeat batch"]
) -> tuple[Float[Tensor, " value"], Measurement]:
    """The subject's error over ridge's: its value and those of all repetitions, and the measurement."""
    ridge = squared_error(run(Ridge(ridge=row.ridge), prompts).predictions[1], prompts)
    sums = torch.stack([squared_error(answered, prompts), ridge], -1)
    zero = torch.stack([squared_error(torch.zeros_like(prompts.targets), prompts), ridge], -1)
    over = measure(
        NAME,
        RATIO,
        sums,
        draws,
        coordinates={"setting": row.name},
        positive={"ridge": torch.stack([ridge, ridge], -1)},
        negative={"answering zero": zero},
    )
    means = torch.cat([sums.mean(0, keepdim=True), draws @ sums / draws.sum(1, keepdim=True)])
    return means[:, 0] / means[:, 1], over


def _shifts(
    again: Float[Tensor, "batch query width"],
    plane: Float[Tensor, "width direction"],
    draws: Float[Tensor, "repeat batch"],
    seed: int,
) -> tuple[Control, ...]:
    """The agreement without a shift, and with a planted one."""
    width = again.shape[-1]
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=generator(seed, f"{NAME}/turn"), dtype=torch.float64))
    same, turned = (_agreements(_grams(stream), plane, draws) for stream in (again, again.double() @ turn))
    return (
        Control(kind="negative", name=AGAIN, value=float(same[0]), interval=_around(same)),
        Control(kind="positive", name=TURNED, value=float(turned[0]), interval=_around(turned)),
    )


def _agreement(
    values: Float[Tensor, " value"], row: StressTest, site: Site, controls: tuple[Control, ...], n: int
) -> Measurement:
    """The measurement of one setting's agreement."""
    return Measurement(
        instrument=NAME,
        quantity=AGREEMENT,
        value=float(values[0]),
        interval=_around(values),
        n=n,
        unit="1",
        coordinates={"setting": row.name, "site": str(site)},
        controls=controls,
    )


def _warns(
    agreements: Float[Tensor, "value setting"],
    errors: Float[Tensor, "value setting"],
    beside: Mapping[str, Sequence[float]],
    site: Site,
    seed: int,
) -> Measurement:
    """Spearman's correlation over the settings; its interval resamples settings, and prompts with them."""
    repeats, count = len(agreements) - 1, agreements.shape[-1]
    picks = torch.randint(count, (repeats, count), generator=generator(seed, f"{NAME}/settings"))

    def of(values: Float[Tensor, "value setting"]) -> tuple[float, tuple[float, float]]:
        whole = rank_correlation(values[:1], errors[:1])
        drawn = rank_correlation(values[1:].gather(1, picks), errors[1:].gather(1, picks))
        return float(whole[0]), bootstrap.interval(drawn)

    value, interval = of(agreements)
    controls = [Control(kind="positive", name=ITSELF, value=of(-errors)[0])]
    for name, each in beside.items():
        fixed = torch.tensor(each, dtype=torch.float64).expand_as(errors)
        other, bounds = of(fixed)
        controls.append(Control(kind="negative", name=name, value=other, interval=_containing(other, bounds)))
    return Measurement(
        instrument=NAME,
        quantity=WARNS,
        value=value,
        interval=_containing(value, interval),
        n=count,
        unit="1",
        coordinates={"site": str(site)},
        controls=tuple(controls),
    )


def _grams(stream: Float[Tensor, "batch query width"]) -> Grams:
    """Every prompt's sum of products of its rows."""
    rows = stream.double().nan_to_num(posinf=0.0, neginf=0.0)
    return rows.mT @ rows


def _planes(grams: Float[Tensor, "*repeat width width"]) -> Float[Tensor, "*repeat width direction"]:
    """The strongest right singular vectors, from the matrix of products of all rows."""
    return torch.linalg.eigh(grams).eigenvectors[..., -DIRECTIONS:]


def _alike(
    a: Float[Tensor, "*repeat width direction"], b: Float[Tensor, "width direction"]
) -> Float[Tensor, "*repeat"]:
    """The mean squared cosine of the principal angles between two planes."""
    return (a.mT @ b).square().sum((-2, -1)) / a.shape[-1]


def _agreements(
    grams: Grams, plane: Float[Tensor, "width direction"], draws: Float[Tensor, "repeat batch"]
) -> Float[Tensor, " value"]:
    """The agreement of all prompts, then that of every repetition."""
    drawn = (draws @ grams.flatten(1)).unflatten(1, grams.shape[1:])
    return _alike(_planes(torch.cat([grams.sum(0, keepdim=True), drawn])), plane)


def _size(prompts: Prompts) -> float:
    """The logarithm of the mean square of inputs and labels."""
    return float((prompts.xs.square().mean() + prompts.ys.square().mean()).log())


def _around(values: Float[Tensor, " value"]) -> tuple[float, float]:
    return _containing(float(values[0]), bootstrap.interval(values[1:]))


def _containing(value: float, interval: tuple[float, float]) -> tuple[float, float]:
    """The interval, widened to the value where that lies outside: an agreement near 1 can only fall when it is resampled."""
    return (min(value, interval[0]), max(value, interval[1]))


INSTRUMENT = Instrument(
    name=NAME,
    question="Do its streams share their two strongest directions with those of training, and does it err where they do not?",
    measure=signature,
    needs="a residual stream, and a table of settings",
    quantities=(AGREEMENT, WARNS, RATIO.name),
    coordinates=("setting", "site"),
    sizes=sizes(n=(24, 128, 512)),
    expected=(
        Expected(quantity=AGREEMENT, control=AGAIN, words="at least 0.9", holds=lambda value: value >= 0.9),
        Expected(quantity=AGREEMENT, control=TURNED, words="at most 0.5", holds=lambda value: value <= 0.5),
    ),
)
