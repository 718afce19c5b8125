"""Linear probes: which quantities of a regression can be read linearly, after which sub-layer and at which tokens.

A probe alone says little. Beside each stand the same probe on an untrained network, on targets of other prompts, on the
raw prompt, and on Xᵀy alone. With isotropic inputs Xᵀy has almost the direction of w (cosine about 0.9), so a probe for w
shows more than Xᵀy only where it scores more than a probe on Xᵀy alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.algorithm import Algorithm
from mesascope.algorithms.kernels import RBF, Kernel
from mesascope.algorithms.running import run
from mesascope.instruments.asking.applicability import NotApplicable, latent_weights, residual_sites, untrained
from mesascope.instruments.asking.collect import Position, at_positions
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.regression import ridge_fits
from mesascope.instruments.statistics.scores import Quantity, explained, measure, partners
from mesascope.seeds import generator
from mesascope.types import Figure, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted, bounds

NAME = "probes"
COSINE = Quantity(name="cosine")
R2 = Quantity(name="R²", combine=explained)
UNCENTRED = Quantity(name="cosine, uncentred")
CONSTANT = "constant guess"
ENTRIES = 256
"""The largest number of a target's entries that are probed for. XᵀX has d(d + 1)/2 entries, and the cost of a probe grows with
their cube, because the positive control writes each into a channel of its own. A sample of entries shows as well whether the
matrix can be read."""
WIDEST = 2048
"""The largest number of a prompt's entries that a control reads one by one; a larger prompt is read as this many random
mixtures."""

Target = Callable[[Prompts], Tensor]
"""A function that computes what to probe for: (batch, output), or (batch, query, output) if it depends on the query."""


def moment(prompts: Prompts) -> Float[Tensor, "batch dim"]:
    """Xᵀy/n."""
    return (prompts.ys[:, None] @ prompts.xs)[:, 0] / prompts.examples


def beyond_moment(prompts: Prompts) -> Float[Tensor, "batch dim"]:
    """w minus the multiple of Xᵀy/n that is closest to it over these prompts.

    Xᵀy has almost the direction of w, so a probe for w may have read nothing but Xᵀy. Such a probe finds nothing here.
    """
    w, seen = latent_weights(prompts), moment(prompts)
    return w - (w * seen).sum() / seen.square().sum() * seen


def answer(prompts: Prompts) -> Float[Tensor, "batch query 1"]:
    """The target of each query. It is one number, so its cosine is only a sign: look at R²."""
    return prompts.targets[..., None]


def gram(prompts: Prompts) -> Float[Tensor, "batch entry"]:
    """The upper triangle of XᵀX/n, diagonal included."""
    return _upper(prompts.xs.mT @ prompts.xs / prompts.examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseGram:
    """The target n(XᵀX + λI)⁻¹: its upper triangle.

    Attributes:
        ridge: λ.
    """

    ridge: float

    def __call__(self, prompts: Prompts) -> Float[Tensor, "batch entry"]:
        """The entries of these prompts."""
        eye = self.ridge / prompts.examples * torch.eye(prompts.dim, dtype=prompts.xs.dtype, device=prompts.xs.device)
        return _upper(torch.linalg.inv(prompts.xs.mT @ prompts.xs / prompts.examples + eye))


def iterate(algorithm: Algorithm, step: int, *, ridge: float = 0.0) -> Target:
    """The target that consists of the weights an algorithm holds after ``step`` steps.

    The target raises `NotApplicable` for an algorithm without weights.
    """

    def target(prompts: Prompts) -> Tensor:
        weights = run(algorithm, prompts, step, ridge=ridge).weights
        if weights is None:
            raise NotApplicable(f"{algorithm.name} holds no weights to probe for.")
        return weights[step]

    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelWeights:
    """The target α: the kernel between each example and the query, which a learner in dual form would compute.

    Source: the α probe (RBF) of the two-to-eight-layer study, which gives no bandwidth.
    """

    kernel: Kernel = field(default_factory=RBF)

    def __call__(self, prompts: Prompts) -> Float[Tensor, "batch query example"]:
        """The kernel's values on these prompts."""
        return self.kernel(prompts.queries, prompts.xs)


TARGETS: Mapping[str, Target] = MappingProxyType({"w": latent_weights, "Xᵀy/n": moment, "XᵀX/n": gram})
"""The quantities probed for by default."""


def linear_probes(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    fit: int = 512,
    score: int = 512,
    queries: int = 4,
    targets: Mapping[str, Target] | None = None,
    reading: Position = "query",
    sites: Sequence[Site] | None = None,
    uncentred: bool = False,
) -> tuple[Measurement, ...]:
    """Cosine and R² of ridge probes after every sub-layer, on held-out prompts.

    With μ the mean target of the fitting prompts, the cosine is that between prediction − μ and target − μ, averaged over a
    prompt's queries (or labels), then over prompts; it is 0 where the prediction equals μ. Without centring, a probe that
    answers the mean would score high on XᵀX, which is nearly constant on isotropic inputs. R² is
    1 − Σ‖target − prediction‖² / Σ‖target − μ‖². The uncentred cosine is that between prediction and target themselves; it
    has to be compared with the cosine of the constant guess μ, which is one of its negative controls.

    Controls, for each site and target. Positive: the target written into the activations through a random matrix, with
    the same root mean square. Negative: the untrained network; the target of another prompt of the stratum, in fitting and
    in scoring; the flattened prompt (xs, ys, and the query when reading at the queries); Xᵀy alone; for a target that
    depends on the query, the query alone (all terms to second degree, and its length to powers 1, 3 and 4).

    Sizes that grow with the task are bounded, and the result says so. Of a target with more than 256 entries, 256 are drawn
    at random (see the coordinate ``entries``). A prompt with more than 2048 numbers is read as 2048 random mixtures (see the
    control's name).

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the random matrices and the resampling.
        fit, score: numbers of prompts to fit on and to score on.
        queries: queries per prompt, each of which gives one activation; 1 is used when reading elsewhere.
        targets: what to probe for, by name; by default those of `TARGETS` that the prompts have.
        reading: the tokens at which activations are read; one map is fitted for all of them.
        sites: where in the residual stream; by default before the first layer and after every sub-layer.
        uncentred: whether to measure the uncentred cosine too, which other papers report.

    Raises:
        NotApplicable: the subject has no residual stream, a target does not exist for this task, or a target depends on
            the query while activations are read at tokens that have not seen it.
    """
    sites = residual_sites(subject) if sites is None else tuple(sites)
    many = adjusted(task, queries=queries if reading == "query" else 1)
    splits = [many.sample(n, seed=seed, stream=f"{NAME}/{use}") for n, use in ((fit, "fit"), (score, "score"))]
    draws = bootstrap.weights(score, seed=seed, strata=splits[1].strata)
    if targets is None:
        targets = {n: t for n, t in TARGETS.items() if t is not latent_weights or splits[1].weights is not None}
    for name, target in targets.items():
        if reading != "query" and target(splits[1][:1]).ndim == 3:
            raise NotApplicable(f"{name} depends on the query, which is not seen at the {reading}. Read at the query.")
    reads = {"query": queries, "labels": task.examples}.get(reading, 1)
    wanted = [{name: _at_each(_some(target(p), name, seed), reads) for name, target in targets.items()} for p in splits]
    whole = {name: target(splits[1][:1]).shape[-1] for name, target in targets.items()}
    others = [{name: t[partners(p)] for name, t in w.items()} for w, p in zip(wanted, splits, strict=True)]

    fixed = _baselines(targets, splits, wanted, reading, reads, seed)
    if uncentred:
        fixed[CONSTANT] = probe([torch.zeros(len(p), reads, 1) for p in splits], wanted)
    traced = [at_positions(subject, p, sites, reading)[1] for p in splits]
    fresh = untrained(subject, seed)
    reference = None if fresh is None else [at_positions(fresh, p, sites, reading)[1] for p in splits]

    found: list[Measurement] = []
    for site in sites:
        seen = [t[site] for t in traced]
        # The true targets and those of other prompts share one decomposition.
        pairs = [w | {f"{name}/other": t for name, t in o.items()} for w, o in zip(wanted, others, strict=True)]
        result = probe(seen, pairs)
        blank = None if reference is None else probe([r[site] for r in reference], wanted)
        for name in targets:
            one = [{name: w[name]} for w in wanted]
            planted = probe(plant(seen, [w[name] for w in wanted], seed), one)
            where = {"site": str(site), "target": name, "entries": f"{wanted[0][name].shape[-1]} of {whole[name]}"}
            for quantity in (COSINE, R2, UNCENTRED) if uncentred else (COSINE, R2):
                negative = {"another prompt's target": result[f"{name}/other"][quantity]}
                if blank is not None:
                    negative["untrained network"] = blank[name][quantity]
                negative |= {
                    source: scores[name][quantity]
                    for source, scores in fixed.items()
                    if name in scores
                    and not (source == "Xᵀy alone" and targets[name] is moment)
                    and not (
                        source == CONSTANT and quantity is not UNCENTRED
                    )  # the other quantities are measured relative to it
                }
                found.append(
                    measure(
                        NAME,
                        quantity,
                        result[name][quantity],
                        draws,
                        coordinates={**where, "read at": reading},
                        positive={"target written in": planted[name][quantity]},
                        negative=negative,
                    )
                )
    return tuple(found)


def _baselines(
    targets: Mapping[str, Target],
    splits: Sequence[Prompts],
    wanted: Sequence[Mapping[str, Tensor]],
    reading: Position,
    reads: int,
    seed: int,
) -> dict[str, dict[str, dict[Quantity, Tensor]]]:
    """The same probes of what needs no network: the flattened prompt, Xᵀy, and the query for what depends on it."""
    raw, plain = _mixed("raw prompt", [_raw(p, reading, reads) for p in splits], seed)
    found = {raw: probe(plain, wanted)}
    found["Xᵀy alone"] = probe([_at_each(moment(p), reads) for p in splits], wanted)
    if by_query := [name for name, target in targets.items() if target(splits[0][:1]).ndim == 3]:
        alone, plain = _mixed("query alone", [_query(p) for p in splits], seed)
        found[alone] = probe(plain, [{name: w[name] for name in by_query} for w in wanted])
    return found


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Cosine by sub-layer, one panel per target, with the controls beside the subject."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME or m.quantity != COSINE.name:
            continue
        for name, value, interval in [
            ("subject", m.value, m.interval),
            *((c.name, c.value, c.interval) for c in m.controls),
        ]:
            rows.append({**m.coordinates, "probe of": name, "cosine": value, **bounds(interval)})
    entries = {row["target"]: str(row["entries"]).split(" of ") for row in rows}
    sampled = [
        f" Of {name} {few} of {whole} entries are probed for." for name, (few, whole) in entries.items() if few != whole
    ]
    return Figure(
        name="probes",
        section="Probes",
        title="What is linearly decodable after each sub-layer",
        caption="Cosine between a ridge probe's prediction and the target, both centred, on held-out prompts."
        + "".join(sampled),
        kind="lines",
        rows=tuple(rows),
        x="site",
        y="cosine",
        series="probe of",
        facet="target",
        low="low",
        high="high",
        titles={"site": "after"},
    )


def probe(features: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]) -> dict[str, dict[Quantity, Tensor]]:
    """Each prompt's contributions to the scores of every target: fitted on the first split, scored on the second."""
    fits = ridge_fits(features[0], targets[0])
    scores: dict[str, dict[Quantity, Tensor]] = {}
    for name, fit in fits.items():
        centre = fit.mean
        target, answered = targets[1][name].double().cpu(), fit.guess(features[1])
        truth, guess = target - centre, answered - centre
        cosine, uncentred = (
            torch.nn.functional.cosine_similarity(a, b, dim=-1, eps=1e-30).mean(-1)
            for a, b in ((guess, truth), (answered, target))
        )
        sums = [(truth - guess).square().sum(-1).mean(-1), truth.square().sum(-1).mean(-1)]
        scores[name] = {COSINE: cosine, R2: torch.stack(sums, -1), UNCENTRED: uncentred}
    return scores


def plant(activations: Sequence[Tensor], targets: Sequence[Tensor], seed: int) -> list[Tensor]:
    """The activations with the target added through a random matrix, with the same root mean square.

    The stream is first widened by as many channels as the target has entries, since a full stream has no room for it.
    """
    outputs = targets[0].shape[-1]
    width = activations[0].shape[-1] + outputs
    matrix = torch.randn(outputs, width, generator=generator(seed, f"{NAME}/planted"), dtype=torch.float64)
    centre, spread = _moments(targets[0])
    _, size = _moments(activations[0])
    size = size.square().mean().sqrt()
    scale = torch.where(size.isfinite() & (size > 0), size, torch.ones_like(size)) / outputs**0.5
    planted: list[Tensor] = []
    for activation, target in zip(activations, targets, strict=True):
        wider = torch.nn.functional.pad(activation.double().cpu(), (0, outputs))
        planted.append(wider + scale * ((target.double().cpu() - centre) / spread) @ matrix)
    return planted


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    rows = values.double().cpu().flatten(0, 1)
    spread = rows.std(0, correction=0)
    return rows.mean(0), torch.where(spread > 0, spread, torch.ones_like(spread))


def _at_each(target: Tensor, reads: int) -> Tensor:
    """The target at every position that is read; a target that does not depend on the query is repeated."""
    return target if target.ndim == 3 else target[:, None].expand(-1, reads, -1)


def _some(target: Tensor, name: str, seed: int) -> Tensor:
    """The target, or a random choice of `ENTRIES` of its entries, the same for all prompts."""
    if target.shape[-1] <= ENTRIES:
        return target
    order = torch.randperm(target.shape[-1], generator=generator(seed, f"{NAME}/entries/{name}"))
    return target[..., order[:ENTRIES].sort().values]


def _mixed(name: str, features: list[Tensor], seed: int) -> tuple[str, list[Tensor]]:
    """The name and the features; too many features become random mixtures, under a name that says so."""
    numbers = features[0].shape[-1]
    if numbers <= WIDEST:
        return name, features
    matrix = torch.randn(numbers, WIDEST, generator=generator(seed, f"{NAME}/mixed/{name}"), dtype=torch.float64)
    centre, spread = _moments(features[0])
    mixtures = [((f.double().cpu() - centre) / spread) @ matrix for f in features]
    return f"{name}, {WIDEST} random mixtures of its {numbers} numbers", mixtures


def _raw(prompts: Prompts, reading: Position, reads: int) -> Tensor:
    context = _at_each(torch.cat([prompts.xs.flatten(1), prompts.ys], -1), reads)
    return torch.cat([context, prompts.queries], -1) if reading == "query" else context


def _query(prompts: Prompts) -> Float[Tensor, "batch query feature"]:
    """The query's terms to second degree, and powers of its length, on which a kernel's mean over the inputs depends."""
    q, length = prompts.queries, prompts.queries.norm(dim=-1, keepdim=True)
    row, column = torch.triu_indices(prompts.dim, prompts.dim)
    return torch.cat([q, (q[..., None] * q[..., None, :])[..., row, column], length, length**3, length**4], -1)


def _upper(matrix: Float[Tensor, "batch dim dim"]) -> Float[Tensor, "batch entry"]:
    row, column = torch.triu_indices(matrix.shape[-1], matrix.shape[-1])
    return matrix[:, row, column]


INSTRUMENT = Instrument(
    name=NAME,
    question="Which quantities can be read linearly from the residual stream, and after which sub-layer?",
    measure=linear_probes,
    needs="a residual stream",
    quantities=(
        "R²",
        "cosine",
        "cosine, uncentred",
    ),
    coordinates=(
        "entries",
        "read at",
        "site",
        "target",
    ),
    sizes=sizes(fit=(128, 512, 2048), score=(128, 512, 2048)),
    figure=figure,
)
