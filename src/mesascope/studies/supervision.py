"""Does the recipe change what a network does? Loss at every input against loss at the query; one optimiser against another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from mesascope.instruments import errors, probes, spectrum
from mesascope.instruments.applicability import latent_weights
from mesascope.instruments.contrast import difference
from mesascope.studies.measure import Between, labelled, pick
from mesascope.studies.networks import SEEN, Network
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study
from mesascope.types import Control, Figure, Measurement, Scalar, Site, Subject, bounds

TWO, FOUR = Network(), Network(layers=4)
AGAIN = Network(seed=100)
QUERY_ONLY = (TWO, AGAIN, FOUR, Network(layers=4, seed=100))
DENSE = {2: "two-layer", 4: "four-layer"}
ADAM = "query-only-2-layers-adam"
"""The network of `TWO` trained by Adam, with a curriculum over dimensions."""

W, MOMENT, ANSWER = "w", "Xᵀy/n", "w·x_q"
TARGETS: Mapping[str, probes.Target] = {W: latent_weights, MOMENT: probes.moment, ANSWER: probes.answer}
COSINE, R2, RESPONSE = probes.COSINE.name, probes.R2.name, "response"
ALONE = "Xᵀy alone"
POINTS = 80  # of a curve that are drawn


def run(session: Session) -> Found:
    """Probes after every sub-layer, spectral response and error of each; probes over training for two layers."""
    networks = (TWO, *(() if session.profile == "smoke" else session.shipped(QUERY_ONLY[1:])))
    queries = {n.name: session.network(n) for n in networks}
    dense = {name: session.reference(name) for n in networks if (name := DENSE[n.layers])}
    adam = session.reference(ADAM)
    subjects: dict[str, Subject] = dense | queries | {ADAM: adam}
    found: list[Measurement] = []
    for name, subject in subjects.items():
        probed = session.keep(f"probes {name}", lambda subject=subject: _probed(subject, session))
        response = session.keep(
            f"spectrum {name}",
            lambda subject=subject: spectrum.spectral_response(
                subject, TWO.task, seed=session.seed, prompts=session.prompts(400)
            ),
        )
        found += labelled((*probed, *response), network=name, **_where(subject, name in dense))
    compared = session.keep(
        "error of either optimiser",
        lambda: errors.errors(
            adam, TWO.task, seed=session.seed, n=session.prompts(1024), rivals={TWO.name: queries[TWO.name]}
        ),
    )
    found += labelled(compared, network=ADAM)
    over = {}
    for name, network in ((DENSE[2], DENSE[2]), (TWO.name, TWO)):
        trajectory = session.trajectory(network)
        for step, subject in trajectory.items():
            key = f"probes {name}" if step == max(trajectory) else f"probes {name} {step}"
            probed = session.keep(key, lambda subject=subject: _probed(subject, session))
            over |= {(name, step): labelled(probed, step=step, **_where(subject, name in dense))}

    def less(of: str, other: str, quantity: str, **at: Scalar) -> Measurement:
        a, b = (pick(found, quantity, network=name, **at) for name in (of, other))
        return difference(a, b, of=of, less=other, **at)

    def apart(layers: int) -> tuple[Measurement, ...]:
        return tuple(
            less(n.name, DENSE[layers], COSINE, target=W, site=_last(layers)) for n in networks if n.layers == layers
        )

    knots = [e for e in spectrum.grid().tolist() if SEEN[0] <= e <= SEEN[1]]

    def recipes(quantity: str, **at: Scalar) -> Measurement:
        """Adam less Muon; beside it what two seeds of one recipe differ by."""
        contrast = less(ADAM, TWO.name, quantity, **at)
        if AGAIN not in networks:
            return contrast
        seeds = less(AGAIN.name, TWO.name, quantity, **at)
        same = Control(kind="negative", name="another seed, same recipe", value=seeds.value, interval=seeds.interval)
        return replace(contrast, controls=(*contrast.controls, same))

    evidence = {
        "cos(w), query only less dense, two layers": apart(2),
        "cos(w), query only less dense, four layers": apart(4),
        "share resolved, query only less dense": tuple(
            less(TWO.name, DENSE[2], RESPONSE, layer=2, eigenvalue=e) for e in knots
        ),
        "MSE of Adam's over Muon's": pick(found, errors.OVER.name, network=ADAM),
        "cos(w), Adam less Muon": recipes(COSINE, target=W, site=_last(2)),
        "cos(Xᵀy), Adam less Muon": recipes(COSINE, target=MOMENT, site=_last(2)),
        "share resolved, Adam less Muon": tuple(recipes(RESPONSE, layer=2, eigenvalue=e) for e in knots),
    }
    contrasts = [m for part in evidence.values() for m in (part if isinstance(part, tuple) else (part,))]
    trained = [m for part in over.values() for m in part]
    return Found(
        evidence=evidence,
        measurements=(*found, *trained, *(m for m in contrasts if m not in found)),
        figures=(
            _by_site(found),
            _over_training(trained),
            _responses(found),
            _curves(session, (*networks, *dense, ADAM)),
        ),
        notes=(*_notes(found, subjects), *_course(trained)),
    )


def _probed(subject: Subject, session: Session) -> tuple[Measurement, ...]:
    size = session.prompts(512)
    return probes.linear_probes(subject, TWO.task, seed=session.seed, fit=size, score=size, targets=TARGETS)


def _where(subject: Subject, dense: bool) -> dict[str, Scalar]:
    return {"supervision": "every input" if dense else "the query only", "layers": len(subject.path)}


def _last(layers: int) -> str:
    return str(Site(layer=layers - 1, kind="resid_post"))


def _shown(m: Measurement) -> bool:
    return (m.quantity, m.coordinates.get("target")) in ((COSINE, W), (COSINE, MOMENT), (R2, ANSWER))


def _probe(m: Measurement) -> str:
    target = m.coordinates["target"]
    return f"R² of {target}" if target == ANSWER else f"cos({target})"


def _by_site(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in filter(_shown, found):
        where: dict[str, Scalar] = {"probe": _probe(m), "after": m.coordinates["site"]}
        rows.append({**where, "network": m.coordinates["network"], "value": m.value, **bounds(m.interval)})
        if m.coordinates["network"] == DENSE[2]:
            for c in m.controls:
                if c.name in (ALONE, "untrained network"):
                    rows.append({**where, "network": c.name, "value": c.value, "low": None, "high": None})
    return Figure(
        name="supervision-by-sub-layer",
        section="Side by side",
        title="What is linearly there after each sub-layer",
        caption="Probes at the query on held-out prompts, of networks trained with the loss at every input (two-layer, "
        "four-layer) and at the query only. Controls: a probe of Xᵀy alone, and the untrained two-layer network.",
        kind="lines",
        rows=tuple(sorted(rows, key=lambda row: str(row["after"]))),
        x="after",
        y="value",
        series="network",
        facet="probe",
        low="low",
        high="high",
        titles={"value": "cosine, or R²"},
    )


def _over_training(trained: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in filter(_shown, trained):
        if m.coordinates["site"] == _last(2):
            where = {k: m.coordinates[k] for k in ("supervision", "step")}
            rows.append({**where, "probe": _probe(m), "value": m.value, **bounds(m.interval)})
    return Figure(
        name="supervision-over-training",
        section="Side by side",
        title="Two layers over training, after the last sub-layer",
        caption="The same probes for the checkpoints that ship.",
        kind="lines",
        rows=tuple(rows),
        x="step",
        y="value",
        series="supervision",
        facet="probe",
        low="low",
        high="high",
        titles={"value": "cosine, or R²", "step": "training step", "supervision": "loss at"},
        log=("x",),
    )


def _responses(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in found:
        if m.quantity == RESPONSE and m.coordinates["layer"] == m.coordinates["layers"]:
            where = {k: m.coordinates[k] for k in ("network", "eigenvalue")}
            rows.append({**where, "share": m.value, **bounds(m.interval)})
    return Figure(
        name="supervision-spectral-response",
        section="Side by side",
        title="Which share of each eigen-direction of XᵀX/n the answer has resolved",
        caption=f"After the last layer; 1 is least squares. Training prompts have eigenvalues of about {SEEN[0]:g} to "
        f"{SEEN[1]:g}, and the claims are about those.",
        kind="lines",
        rows=tuple(rows),
        x="eigenvalue",
        y="share",
        series="network",
        low="low",
        high="high",
        titles={"eigenvalue": "eigenvalue of XᵀX/n", "share": "share resolved"},
        log=("x",),
    )


def _curves(session: Session, networks: Sequence[Network | str]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for network in networks:
        curve = session.curve(network)
        size = -(-len(curve) // POINTS)
        for part in (curve[i : i + size] for i in range(0, len(curve), size)):
            name = network if isinstance(network, str) else network.name
            rows.append({"network": name, "step": part[-1]["step"], "loss": fmean(line["loss"] for line in part)})
    return Figure(
        name="supervision-curves",
        section="Side by side",
        title="Training loss",
        caption="Each on its own loss: with the loss at every input, answers from few examples count too, so that curve does "
        "not go as low.",
        kind="lines",
        rows=tuple(rows),
        x="step",
        y="loss",
        series="network",
        log=("x", "y"),
    )


def _notes(found: Sequence[Measurement], subjects: Mapping[str, Subject]) -> tuple[str, ...]:
    told: list[str] = []
    for name, subject in subjects.items():
        at = {"network": name, "site": _last(len(subject.path))}
        w, moment = (pick(found, COSINE, target=t, **at) for t in (W, MOMENT))
        right = pick(found, R2, target=ANSWER, **at)
        told.append(
            f"{name}: cos(w) {w.value:.2f}, cos(Xᵀy) {moment.value:.2f}, R² of the answer {right.value:.3f} after the last "
            "sub-layer."
        )
    alone = next(c.value for m in found if m.coordinates.get("target") == W for c in m.controls if c.name == ALONE)
    return (*told, f"A probe that sees Xᵀy alone has cos(w) {alone:.2f}.")


def _course(trained: Sequence[Measurement]) -> tuple[str, ...]:
    """cos(w) over training, in words."""
    course: dict[Scalar, list[str]] = {}
    for m in trained:
        if m.quantity == COSINE and m.coordinates["target"] == W and m.coordinates["site"] == _last(2):
            course.setdefault(m.coordinates["supervision"], []).append(f"{m.value:.2f} at step {m.coordinates['step']}")
    return tuple(f"Two layers, loss at {where}: cos(w) {', '.join(values)}." for where, values in course.items())


STUDY = Study(
    name="supervision",
    title="Does the recipe change what a network does?",
    source="B",
    claims=(
        Claim(
            own=True,
            text="At two layers, the loss at the query makes a network hold w where the loss at every input does not: cos(w) "
            "at the query after the last sub-layer is higher by 0.1 at least.",
            accept={"cos(w), query only less dense, two layers": Between(low=0.1)},
            needs={TWO: 0.001},
        ),
        Claim(
            own=True,
            text="At four layers it is the other way round: cos(w) is lower by 0.1 at least.",
            accept={"cos(w), query only less dense, four layers": Between(high=-0.1)},
            needs={FOUR: 1e-4},
        ),
        Claim(
            own=True,
            text="What the answer has resolved is the same all the same: within 0.15 at every eigenvalue that training "
            "prompts have, for two layers.",
            accept={"share resolved, query only less dense": Between(low=-0.15, high=0.15)},
        ),
        Claim(
            own=True,
            text="The optimiser and a curriculum do not change where a query-only network ends: Adam with a curriculum over "
            "dimensions and Muon without agree in loss (within a factor of three), in cos(w) and cos(Xᵀy) and in the share "
            "resolved of every eigen-direction (within 0.1).",
            accept={
                "MSE of Adam's over Muon's": Between(low=1 / 3, high=3),
                "cos(w), Adam less Muon": Between(low=-0.1, high=0.1),
                "cos(Xᵀy), Adam less Muon": Between(low=-0.1, high=0.1),
                "share resolved, Adam less Muon": Between(low=-0.1, high=0.1),
            },
        ),
    ),
    run=run,
    departures=(
        "The source trains with the loss at the query only. The dense networks differ in more than that: AdamW, and answers at "
        "every input are part of what they are made for.",
        "Two trained networks are compared, one of a kind for dense supervision: intervals are over prompts, not over seeds.",
    ),
)
