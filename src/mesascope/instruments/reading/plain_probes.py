"""Probes as source A defines them: ridge 1e-3, no intercept, one cosine for the whole test set, layer ℓ against step ℓ.

Such a number says little by itself. A probe of the raw prompt, which sees no network, and the network without its training stand
beside it, and some steps are probed at every layer, so that what depth does can be told from what the target does.

Source: source A, the probes of α. See the study `iterate-probes` for what is wrong with the definition.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.asking.applicability import residual_sites, untrained
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.reading.iterates import Form, Iterate, Solver
from mesascope.instruments.reading.probes import plant
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.regression import plain_weights
from mesascope.instruments.statistics.scores import Quantity, measure, partners
from mesascope.records.checks import check_count
from mesascope.seeds import generator
from mesascope.types import Figure, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted, bounds

NAME = "plain probes"
FITTED = 0.8
"""The share of the problems that probes are fitted on. The others are the test set."""
NOISE, OTHERS, UNTRAINED, RAW = "Gaussian noise", "another prompt's iterate", "untrained network", "raw prompt alone"
WRITTEN = "iterate written in"
SOLVERS = tuple(Solver(method=m, space="data", ridge=0.1) for m in ("conjugate gradient", "gradient descent"))


def _cosine(means: Tensor) -> Tensor:
    return means[:, 0] / (means[:, 1] * means[:, 2]).sqrt().clamp(min=torch.finfo(means.dtype).tiny)


def _mean_cosine(means: Tensor) -> Tensor:
    return torch.stack([_cosine(part) for part in means.split(3, -1)]).mean(0)


def _difference(means: Tensor) -> Tensor:
    first, other = means.chunk(2, -1)
    return _mean_cosine(other) - _mean_cosine(first)


COSINE = Quantity(name="flattened cosine", combine=_cosine)
MEAN = Quantity(name="mean flattened cosine, layer against step", combine=_mean_cosine)
LESS_FIRST = Quantity(name="mean flattened cosine, less that of the first solver", combine=_difference)


def plain_probes(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    problems: int = 500,
    solvers: Sequence[Solver] = SOLVERS,
    form: Form = "dual",
    everywhere: Sequence[int] = (1,),
) -> tuple[Measurement, ...]:
    """The cosine of probes for step ℓ's iterate after layer ℓ, its mean over all layers, and some steps' cosine at every layer.

    The mean of every solver but the first is also compared with the first's, on the same problems.

    The probe is W = (FᵀF + 0.001 I)⁻¹FᵀT, with one row of F per problem (the residual stream at its only query) and one row of
    T (the iterate), both as they are. The cosine is ⟨G, T⟩/(‖G‖‖T‖) of all predictions and targets of the test set as one
    vector each.

    Controls. Negative: targets of Gaussian noise (the source's only one), the iterate of another prompt, the untrained network,
    and the same probe of the flattened prompt, which sees no network. Positive: the iterate written into the stream.

    Args:
        subject: what to examine.
        task: where the problems come from.
        seed: of the problems, the noise, the untrained weights and the resampling.
        problems: number of problems; four fifths of them are fitted on.
        solvers: whose iterates are probed for; the others are compared with the first.
        form: which form of the iterates; see `Iterate`.
        everywhere: the steps that are probed for at every layer.

    Raises:
        NotApplicable: the subject has no residual stream.
        ValueError: fewer than ten problems.
    """
    check_count("problems", problems, least=10)
    sites = [site for site in residual_sites(subject) if site.kind == "resid_post"]
    prompts = adjusted(task, queries=1).sample(problems, seed=seed, stream=NAME)
    cut = round(FITTED * problems)
    tested = prompts[cut:]
    draws = bootstrap.weights(len(tested), seed=seed, strata=tested.strata)
    streams = _streams(subject, prompts, sites)
    fresh = untrained(subject, seed)
    blank = None if fresh is None else _streams(fresh, prompts, sites)
    raw = torch.cat([prompts.xs.flatten(1), prompts.ys, prompts.queries[:, 0]], -1)
    found: list[Measurement] = []
    wholes: list[dict[str, Tensor]] = []
    for solver in solvers:
        targets = _targets(solver, prompts, len(sites), form)
        noise = torch.randn(targets.shape, generator=generator(seed, f"{NAME}/noise"), dtype=torch.float64)
        paired: dict[str, list[Tensor]] = {}
        for layer, site in enumerate(sites):
            steps = [s for s in range(len(sites)) if s == layer or s + 1 in everywhere]
            features = {"": streams[site], RAW: raw, **({} if blank is None else {UNTRAINED: blank[site]})}
            cases = _cases(features, targets[steps], noise[steps], partners(prompts), cut, seed)
            for name, sums in cases.items():
                paired.setdefault(name, []).append(sums[steps.index(layer)])
            for i, step in enumerate(steps):
                at = {"target": solver.name, "layer": layer + 1, "step": step + 1}
                found.append(_measured(COSINE, {name: sums[i] for name, sums in cases.items()}, draws, at))
        wholes.append({name: torch.cat(parts, -1) for name, parts in paired.items()})
        found.append(_measured(MEAN, wholes[-1], draws, {"target": solver.name}))
        if len(wholes) > 1:
            both = {name: torch.cat([wholes[0][name], whole], -1) for name, whole in wholes[-1].items()}
            found.append(_measured(LESS_FIRST, both, draws, {"target": solver.name}))
    return tuple(found)


def _cases(
    features: Mapping[str, Float[Tensor, "batch _"]],
    targets: Float[Tensor, "step batch output"],
    noise: Float[Tensor, "step batch output"],
    others: Int[Tensor, " batch"],
    cut: int,
    seed: int,
) -> dict[str, Float[Tensor, "step tested 3"]]:
    """The sums of the subject's stream, which has no name among the features, and of every control."""
    stream = features[""]
    written = [_sums(_written(stream, target, cut, seed), target[None], cut)[0] for target in targets]
    return {
        **{name: _sums(rows, targets, cut) for name, rows in features.items()},
        NOISE: _sums(stream, noise, cut),
        OTHERS: _sums(stream, targets[:, others], cut),
        WRITTEN: torch.stack(written),
    }


def _measured(
    quantity: Quantity, cases: Mapping[str, Tensor], draws: Tensor, coordinates: Mapping[str, Scalar]
) -> Measurement:
    """One measurement from each case's sums over the test set; the subject's own has no name."""
    negative = {name: sums for name, sums in cases.items() if name not in ("", WRITTEN)}
    return measure(
        NAME,
        quantity,
        cases[""],
        draws,
        coordinates=coordinates,
        positive={WRITTEN: cases[WRITTEN]},
        negative=negative,
    )


def _streams(subject: Subject, prompts: Prompts, sites: Sequence[Site]) -> dict[Site, Float[Tensor, "batch width"]]:
    return {site: held[:, 0].double() for site, held in at_queries(subject, prompts, sites)[1].items()}


def _targets(solver: Solver, prompts: Prompts, steps: int, form: Form) -> Float[Tensor, "step batch output"]:
    """Every iterate but the first, which is zero."""
    found = [Iterate(solver=solver, step=step, form=form)(prompts) for step in range(1, steps + 1)]
    return torch.stack([t.flatten(1).double().cpu() for t in found])


def _written(
    stream: Float[Tensor, "batch width"], target: Float[Tensor, "batch output"], cut: int, seed: int
) -> Float[Tensor, "batch wider"]:
    """The stream with the target added through a random matrix; see `probes.plant`."""
    parts = plant([stream[:cut, None], stream[cut:, None]], [target[:cut, None], target[cut:, None]], seed)
    return torch.cat(parts)[:, 0]


def _sums(
    features: Float[Tensor, "batch feature"], targets: Float[Tensor, "step batch output"], cut: int
) -> Float[Tensor, "step tested 3"]:
    """⟨guess, target⟩ and both squared lengths of every problem of the test set, for every step."""
    steps, _, outputs = targets.shape
    rows = features.double().nan_to_num(posinf=0.0, neginf=0.0)
    fitted, wanted = rows[:cut], targets[:, :cut].permute(1, 0, 2).flatten(1)
    guess = rows[cut:] @ plain_weights(fitted, wanted)
    guess, truth = guess.unflatten(1, (steps, outputs)).transpose(0, 1), targets[:, cut:]
    return torch.stack([(guess * truth).sum(-1), guess.square().sum(-1), truth.square().sum(-1)], -1)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The cosine of layer ℓ against step ℓ, one panel per target, with the controls that need no network beside it."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.quantity != COSINE.name or m.coordinates["layer"] != m.coordinates["step"]:
            continue
        shown = [("subject", m.value, m.interval)]
        shown += [(c.name, c.value, c.interval) for c in m.controls if c.name != OTHERS]
        rows += [{**m.coordinates, "probe of": name, "cosine": v, **bounds(i)} for name, v, i in shown]
    return Figure(
        name="plain-probes",
        section="Probes",
        title="How well a layer's stream gives the iterate of the same number",
        caption="Flattened cosine of ridge probes without intercept, layer ℓ against step ℓ. The raw prompt alone needs no "
        "network.",
        kind="lines",
        rows=tuple(rows),
        x="layer",
        y="cosine",
        series="probe of",
        facet="target",
        low="low",
        high="high",
        titles={"layer": "layer, and step"},
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="Does a layer's stream at the query hold the iterate of the same number, by plain ridge probes?",
    measure=plain_probes,
    needs="a residual stream",
    quantities=(COSINE.name, MEAN.name, LESS_FIRST.name),
    coordinates=("layer", "step", "target"),
    sizes=sizes(problems=(50, 500, 2000)),
    figure=figure,
)
