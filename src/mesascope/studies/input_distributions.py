"""Networks trained on Gaussian, uniform, Laplace and ±1 inputs: what they learn, and whether ±1 is learned by heart."""

from collections.abc import Sequence
from typing import Literal

import torch

from mesascope.algorithms import Ridge
from mesascope.algorithms import run as solve
from mesascope.instruments import bootstrap, memorisation, probes, stress
from mesascope.instruments.applicability import latent_weights, residual_sites
from mesascope.instruments.collect import answers
from mesascope.instruments.scores import Quantity, measure, ratio, squared_error
from mesascope.instruments.stress import Distribution
from mesascope.studies.measure import Between, known, labelled, pick
from mesascope.studies.networks import INPUTS, Network
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study, several
from mesascope.tasks import LinearRegression
from mesascope.types import Figure, Measurement, Scalar, bounds

NETWORKS = (
    Network(),
    Network(seed=100),
    Network(inputs="uniform"),
    Network(inputs="laplace"),
    Network(inputs="rademacher"),
    Network(inputs="rademacher", seed=100),
)
TABLE = tuple(
    Distribution(name=name, task=LinearRegression(queries=8, inputs=inputs)) for name, inputs in INPUTS.items()
)
FACTOR = Quantity(name="MSE on Gaussian inputs over that on its own", combine=ratio)
PROMPTS, PROMPTS_PROBED = 512, 768


def run(session: Session) -> Found:
    """Every network on every distribution; w after each sub-layer on its own; other queries after its own examples."""
    networks = session.shipped((Network(), Network(inputs="rademacher")) if session.profile == "smoke" else NETWORKS)
    errors: list[Measurement] = []
    cosines: list[Measurement] = []
    asked: list[Measurement] = []
    factors: list[Measurement] = []
    n, probed = session.prompts(PROMPTS), session.prompts(PROMPTS_PROBED)
    for network in networks:
        label: dict[str, Scalar] = {"trained on": network.inputs, "network seed": network.seed}

        def part(
            name: str, measured: Sequence[Measurement], label: dict[str, Scalar] = label
        ) -> tuple[Measurement, ...]:
            return labelled(measured, **label)

        def on_each(network: Network = network) -> Sequence[Measurement]:
            return stress.stress(session.network(network), network.task, seed=session.seed, n=n, table=TABLE)

        def probing(network: Network = network) -> Sequence[Measurement]:
            return probes.linear_probes(
                session.network(network),
                network.task,
                seed=session.seed,
                fit=probed,
                score=n,
                targets={"w": latent_weights},
            )

        def other_queries(network: Network = network) -> Sequence[Measurement]:
            return memorisation.memorisation(session.network(network), network.task, seed=session.seed, n=n)

        errors += labelled(session.keep(f"errors {network.name}", on_each), **label)
        cosines += labelled(session.keep(f"probes {network.name}", probing), **label)
        asked += labelled(session.keep(f"queries {network.name}", other_queries), **label)
        if network.inputs == "rademacher":
            factor = session.keep(f"factor {network.name}", lambda network=network: [_factor(session, network, n)])
            factors += labelled(factor, **label)

    evidence: dict[str, Measurement | tuple[Measurement, ...]] = {}
    query = {"read at": "query"}
    for inputs in INPUTS:
        seeds = [network.seed for network in networks if network.inputs == inputs]
        where = [{"trained on": inputs, "network seed": seed} for seed in seeds]
        last = [str(residual_sites(session.network(n))[-1]) for n in networks if n.inputs == inputs]
        evidence[f"MSE, {inputs}"] = tuple(pick(errors, stress.MSE.name, distribution=inputs, **w) for w in where)
        found = tuple(
            pick(cosines, probes.COSINE.name, site=site, target="w", **query, **w)
            for site, w in zip(last, where, strict=True)
        )
        evidence[f"cosine of w, {inputs}"] = found
        evidence[f"cosine of w from Xᵀy alone, {inputs}"] = tuple(known(m, "Xᵀy alone") for m in found)
        for kind in ("midway between two shown", memorisation.NOVEL):
            evidence[f"{kind}, {inputs}"] = tuple(
                m for m in asked if m.coordinates["queries"] == kind and m.coordinates["trained on"] == inputs
            )
    evidence["MSE on Gaussian inputs, rademacher"] = tuple(
        m
        for m in errors
        if m.quantity == stress.MSE.name
        and m.coordinates["trained on"] == "rademacher"
        and m.coordinates["distribution"] == "gaussian"
    )
    evidence["factor, rademacher"] = tuple(factors)
    decoded = tuple(m for inputs in INPUTS for m in several(evidence[f"cosine of w, {inputs}"]))
    return Found(
        evidence=evidence,
        measurements=(*errors, *cosines, *asked, *factors),
        figures=(_crossed(errors), _queries(asked), _cosines(decoded)),
        notes=_notes(session, networks, decoded, asked),
    )


def _factor(session: Session, network: Network, n: int) -> Measurement:
    """One prompt of each kind makes a pair; a look-up fails in the same way, ridge does not."""
    own, normal = (
        Distribution(name="", task=LinearRegression(queries=8, inputs=INPUTS[name])).sample(
            n, seed=session.seed, stream="input-distributions"
        )
        for name in (network.inputs, "gaussian")
    )

    def sums(predict: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack([squared_error(predict[1], normal), squared_error(predict[0], own)], -1)

    subject, ridge = session.network(network), Ridge(ridge=stress.RIDGE)
    return measure(
        "stress",
        FACTOR,
        sums([answers(subject, p) for p in (own, normal)]),
        bootstrap.weights(n, seed=session.seed),
        coordinates={},
        positive={memorisation.LOOK_UP: sums([memorisation.looked_up(p) for p in (own, normal)])},
        negative={"ridge": sums([solve(ridge, p).predictions[1] for p in (own, normal)])},
    )


def _who(m: Measurement) -> str:
    seed = m.coordinates["network seed"]
    return f"{m.coordinates['trained on']}" + ("" if seed == 42 else f", seed {seed}")


def _crossed(found: Sequence[Measurement]) -> Figure:
    return Figure(
        name="input-distributions",
        section="Input distributions",
        title="Trained on one distribution of inputs, asked on another",
        caption="Mean squared error at the query; answering zero earns about 1. All distributions have variance 1 in every "
        "coordinate. The boxes are where training and question agree.",
        kind="heatmap",
        rows=tuple(
            {
                "asked on": m.coordinates["distribution"],
                "trained on": _who(m),
                "MSE": m.value,
                "low": (m.interval or (None, None))[0],
                "high": (m.interval or (None, None))[1],
                "ridge's MSE": known(m, "ridge").value,
                "own": m.coordinates["distribution"] == m.coordinates["trained on"],
            }
            for m in found
            if m.quantity == stress.MSE.name
        ),
        x="asked on",
        y="trained on",
        value="MSE",
        series="own",
        log=("value",),
    )


def _queries(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in found:
        if m.coordinates["network seed"] != 42:
            continue
        cases = [(f"trained on {_who(m)}", m)]
        if m.coordinates["trained on"] == "rademacher":
            cases += [(name, known(m, name)) for name in (memorisation.LOOK_UP, "ridge")]
        for who, case in cases:
            where = {"queries": m.coordinates["queries"], "who": who}
            rows.append({**where, "relative squared error": case.value, **bounds(case.interval)})
    rows.sort(key=lambda row: row["who"] != "trained on rademacher")
    return Figure(
        name="other-queries",
        section="Input distributions",
        title="Other queries after the examples of training",
        caption="Squared error over that of answering zero; examples as in training, queries changed. Ridge (λ = 0.01) and the "
        "look-up are on ±1 inputs; a look-up has no error on what was shown.",
        kind="bars",
        rows=tuple(rows),
        x="queries",
        y="relative squared error",
        series="who",
        low="low",
        high="high",
        log=("y",),
    )


def _cosines(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in found:
        for name, value, interval in [
            ("network", m.value, m.interval),
            *((c.name, c.value, c.interval) for c in m.controls),
        ]:
            if name in ("network", "Xᵀy alone", "untrained network", "raw prompt"):
                rows.append({"trained on": _who(m), "probe of": name, "cosine": value, **bounds(interval)})
    return Figure(
        name="cosine-of-w",
        section="Input distributions",
        title="Is w there after the last sub-layer?",
        caption="Cosine between a ridge probe's prediction and w on held-out prompts of the training distribution. Xᵀy alone, "
        "with no network at all, is the number to beat.",
        kind="bars",
        rows=tuple(rows),
        x="trained on",
        y="cosine",
        series="probe of",
        low="low",
        high="high",
    )


def _notes(
    session: Session, networks: Sequence[Network], decoded: Sequence[Measurement], asked: Sequence[Measurement]
) -> tuple[str, ...]:
    missing = [n.ships_as for n in NETWORKS if n not in session.shipped(NETWORKS)]
    beaten = [f"{_who(m)} {m.value:.2f} ({known(m, 'Xᵀy alone').value:.2f})" for m in decoded]
    novel = [
        f"{m.value:.2g} against {seen.value:.2g} [{_who(m)}; {m.coordinates['share of queries']:.0%} of the queries were not "
        f"shown; look-up {known(m, memorisation.LOOK_UP).value:.2g}, least squares {known(m, 'least squares').value:.2g}]"
        for m in asked
        for seen in asked
        if (m.coordinates["queries"], seen.coordinates["queries"]) == (memorisation.NOVEL, memorisation.KNOWN)
        and _who(m) == _who(seen)
    ]
    notes = [f"Cosine of w after the last sub-layer, and from Xᵀy alone in brackets: {', '.join(beaten)}."]
    notes += (
        [f"Relative error at ±1 queries that were not shown, up to sign, against those that were: {'; '.join(novel)}."]
        if novel
        else []
    )
    notes += [f"Networks that do not ship: {', '.join(missing)}."] if missing else []
    return tuple(notes)


_T = "input_distribution_cos_w_and_mse"


def _learned(inputs: Literal["gaussian", "uniform", "laplace"], cosine: float) -> Claim:
    return Claim(
        text=f"Trained on {inputs} inputs, two layers learn the task (mean squared error at most 0.01), and w is decodable after "
        "the last MLP (cosine within 0.1 of the printed one).",
        published=(f"{_T}/{inputs}/0", f"{_T}/{inputs}/1"),
        accept={
            f"MSE, {inputs}": Between(high=0.01),
            f"cosine of w, {inputs}": Between(low=round(cosine - 0.1, 2), high=round(cosine + 0.1, 2)),
        },
        needs={Network(inputs=inputs): 0.002},
    )


_RADEMACHER = {Network(inputs="rademacher"): 0.002}

STUDY = Study(
    name="input-distributions",
    title="Does it matter which inputs a network was trained on?",
    claims=(
        _learned("gaussian", 0.88),
        _learned("uniform", 0.88),
        _learned("laplace", 0.9),
        Claim(
            text="Trained on ±1 inputs, two layers learn the task too (mean squared error at most 0.01), but w is less decodable "
            "(cosine at most 0.75).",
            published=tuple(f"{_T}/rademacher_{seed}/{i}" for seed in (42, 100, 200) for i in (0, 1)),
            accept={"MSE, rademacher": Between(high=0.01), "cosine of w, rademacher": Between(high=0.75)},
            needs=_RADEMACHER,
        ),
        Claim(
            text="On Gaussian inputs the network trained on ±1 has mean squared error 0.25, 416 times its own (each within a "
            "factor of 3).",
            published=("rademacher_model_on_gaussian_inputs/mse", "rademacher_model_on_gaussian_inputs/factor"),
            accept={
                "MSE on Gaussian inputs, rademacher": Between(low=0.25 / 3, high=0.75),
                "factor, rademacher": Between(low=416 / 3, high=416 * 3.0),
            },
            needs=_RADEMACHER,
        ),
        Claim(
            text="It does not only look answers up: where neither the query nor its mirror image was shown, the relative squared "
            "error stays below 0.05.",
            own=True,
            accept={f"{memorisation.NOVEL}, rademacher": Between(high=0.05)},
            needs={Network(inputs="rademacher"): 0.01},
        ),
        Claim(
            text="It does not know the line between the corners: midway between two shown inputs its relative squared error "
            "is at least 0.05.",
            own=True,
            accept={"midway between two shown, rademacher": Between(low=0.05)},
        ),
        Claim(
            text="The network trained on Gaussian inputs knows that line: at most 0.05.",
            own=True,
            accept={"midway between two shown, gaussian": Between(high=0.05)},
            needs={Network(): 0.01},
        ),
        Claim(
            text="A cosine of 0.88 is no evidence of w: Xᵀy alone, without a network, gives between 0.85 and 0.95.",
            own=True,
            accept={
                f"cosine of w from Xᵀy alone, {inputs}": Between(low=0.85, high=0.95)
                for inputs in ("gaussian", "laplace")
            },
        ),
    ),
    run=run,
    departures=(
        "The source does not say how its probes were regularised or split, nor at which positions it read: here a ridge probe "
        "read at the query, its penalty validated, scored on other prompts, both sides centred.",
        "Seeds 42 and 100; the source's third ±1 network, seed 200, was not trained here.",
        "All its distributions are taken to have variance 1 in every coordinate: uniform on [−√3, √3], Laplace of scale 1/√2.",
        "The source calls the ±1 network's failure on Gaussian inputs memorisation. Whole prompts change there; the tests added "
        "here keep the examples and change the query alone.",
    ),
)
