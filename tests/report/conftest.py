"""A record such as an examination leaves, with every kind of figure; its numbers are made up."""

import math
import random
from collections.abc import Callable

import pytest

from mesascope.types import (
    Answer,
    CandidateScore,
    Control,
    DistributionVerdict,
    Figure,
    Measurement,
    Record,
    Scalar,
    Verdict,
)

CANDIDATES = ("conjugate gradient", "Chebyshev iteration", "heavy ball", "gradient descent", "Newton–Schulz", "ridge")


def around(value: float, width: float) -> dict[str, float]:
    return {"low": value - width, "high": value + 1.3 * width}


def spectral_response(layers: int = 2) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for layer in range(1, layers + 1):
        for rank, name in enumerate(("two-layer", *CANDIDATES[:4])):
            for i in range(12):
                eigenvalue = 10 ** (i / 4 - 1.5)
                share = 1 - math.exp(-eigenvalue * (1.4 + 0.5 * rank) * layer / 2) + 0.1 * math.sin(i * layer + rank)
                bounds = around(share, 0.03) if rank == 0 else {}
                rows.append({"layer": layer, "eigenvalue": eigenvalue, "who": name, "share": share, "n": 512, **bounds})
    return Figure(
        name="spectral-response",
        section="spectral response",
        title="What share of each eigen-direction has been resolved",
        caption="Share of each eigen-direction of XᵀX that the prediction has resolved after each layer (black, with "
        "its 95 % interval over prompts) beside the candidates with their fitted coefficients. The untrained subject "
        "resolves 0.01 [−0.02, 0.03] everywhere.",
        kind="lines",
        rows=tuple(rows),
        x="eigenvalue",
        y="share",
        series="who",
        facet="layer",
        low="low",
        high="high",
        titles={"eigenvalue": "eigenvalue of XᵀX / n", "share": "share resolved", "layer": "after layer"},
        log=("x",),
    )


def agreement(layers: int = 4, steps: int = 10) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for shift, name in enumerate(CANDIDATES[:4]):
        for layer in range(layers, 0, -1):
            for step in range(steps + 1):
                value = math.exp(-(((step - layer * (1 + shift)) / 3) ** 2)) * (0.99 - 0.08 * shift)
                rows.append({"layer": layer, "step": step, "candidate": name, "similarity": value, "n": 512,
                             "best": step == min(steps, layer * (1 + shift)), **around(value, 0.02)})  # fmt: skip
    return Figure(
        name="heat",
        section="layers against steps",
        title="Agreement of each layer with each step of the candidates",
        caption="Progress-scored agreement of every layer with every step; 1 is equal. Outlined: the best "
        "non-decreasing path, a diagnostic that is never scored. The iterates of another prompt agree to 0.05 at most.",
        kind="heatmap",
        rows=tuple(rows),
        x="step",
        y="layer",
        value="similarity",
        series="best",
        facet="candidate",
        low="low",
        high="high",
        titles={"similarity": "agreement", "best": "on the best path"},
    )


def error_by_depth() -> Figure:
    rows: list[dict[str, Scalar]] = []
    for rank, name in enumerate(("two-layer", *CANDIDATES)):
        for depth in range(9):
            error = 10 ** (-depth * (0.15 + 0.11 * rank))
            rows.append(
                {"depth": depth, "who": name, "error": error, "low": error * 0.8, "high": error * 1.3, "n": 512}
            )
    rows.append({"depth": 9, "who": "ridge", "error": 0.0, "low": 0.0, "high": 0.0, "n": 512})
    return Figure(
        name="error-by-depth",
        section="error by depth",
        title="Error after each layer and after each step",
        caption="Normalised squared error at the query. The zero predictor has error 1.",
        kind="lines",
        rows=tuple(rows),
        x="depth",
        y="error",
        series="who",
        low="low",
        high="high",
        titles={"depth": "layers or steps", "error": "error / target variance"},
        log=("y",),
    )


def probes() -> Figure:
    sites = ["embed", "0.attn_out", "0.mlp_out", "0.resid_post", "1.attn_out", "1.mlp_out", "1.resid_post"]
    rows: list[dict[str, Scalar]] = []
    for target in ("w", "Xᵀy", "XᵀX"):
        for rank, who in enumerate(("two-layer", "untrained", "shuffled targets", "inputs only")):
            for i, site in enumerate(sites):
                value = (1 - math.exp(-i / 2)) * (0.95 if rank == 0 else 0.12 / rank)
                rows.append(
                    {"site": site, "target": target, "who": who, "cosine": value, "n": 256, **around(value, 0.03)}
                )
    return Figure(
        name="probes",
        section="probes",
        title="What can be read off linearly after each sub-layer",
        caption="Cosine of linear probes on held-out prompts, with the three negative controls in the same panel.",
        kind="lines",
        rows=tuple(rows),
        x="site",
        y="cosine",
        series="who",
        facet="target",
        low="low",
        high="high",
        titles={"site": "sub-layer"},
    )


def patching() -> Figure:
    rows: list[dict[str, Scalar]] = []
    for i, site in enumerate(("blocks.0.hook_attn_out", "blocks.0.hook_mlp_out", "blocks.1.hook_attn_out")):
        for who, scale in (("donor from another prompt", 1.0), ("donor is the recipient", 0.0)):
            value = scale * (0.2 + 0.3 * i)
            rows.append({"site": site, "who": who, "effect": value, "n": 256, **around(value, 0.04 * scale)})
    return Figure(
        name="patching",
        section="patching",
        title="How far a patched site moves the answer towards the donor's",
        caption="Share of the way from the recipient's answer to the donor's. Patching a prompt with itself moves "
        "nothing.",
        kind="bars",
        rows=tuple(rows),
        x="site",
        y="effect",
        series="who",
        low="low",
        high="high",
        titles={"effect": "share of the way", "site": ""},
    )


def stress() -> Figure:
    rows: list[dict[str, Scalar]] = [
        {"distribution": f"condition number {10**k}", "mse": 0.0261 * 4.7**k, "low": 0.022 * 4.7**k,
         "high": 0.031 * 4.7**k, "ridge": 0.0012 * 3.1**k, "ratio": 21.7 * 1.5**k, "rank": 0.98 - 0.11 * k,
         "n": 512 if k else None}
        for k in range(5)
    ]  # fmt: skip
    return Figure(
        name="stress",
        section="stress",
        title="Away from the training distribution",
        caption="Mean squared error of the subject and of ridge at its best λ; ρ is the rank correlation with ridge.",
        kind="table",
        rows=tuple(rows),
        y="mse",
        low="low",
        high="high",
        titles={"mse": "MSE", "ridge": "MSE of ridge", "rank": "ρ with ridge"},
    )


def attention(heads: int = 4, positions: int = 41) -> Figure:
    noise = random.Random(0)
    rows: list[dict[str, Scalar]] = [
        {"head": head, "to": to, "from": source, "weight": round(noise.random() / (1 + abs(to - source - head)), 4)}
        for head in range(heads)
        for to in range(positions)
        for source in range(to + 1)
    ]
    return Figure(
        name="attention",
        section="attention",
        title="Attention of the first layer",
        caption="Mean over 256 prompts. Rows attend to columns.",
        kind="heatmap",
        rows=tuple(rows),
        x="from",
        y="to",
        value="weight",
        facet="head",
        titles={"from": "key position", "to": "query position"},
    )


def signed() -> Figure:
    rows: list[dict[str, Scalar]] = [
        {"a": a, "b": b, "correlation": None if a == b else math.cos(3 * i + j)}
        for i, a in enumerate(CANDIDATES[:4])
        for j, b in enumerate(CANDIDATES[:4])
    ]
    return Figure(
        name="signed",
        section="attention",
        title="A map with both signs and gaps",
        caption="The diagonal is left out.",
        kind="heatmap",
        rows=tuple(rows),
        x="b",
        y="a",
        value="correlation",
        titles={"a": "", "b": ""},
    )


def answer(question: str, label: str, names: tuple[str, ...], distribution: str) -> Answer:
    scores = tuple(
        CandidateScore(
            candidate=name,
            score=0.982 - 0.07 * i,
            interval=(0.976 - 0.08 * i, 0.987 - 0.06 * i),
            coefficients={"α": 0.31 / (i + 1), "β": 0.42 * i},
            timing={"steps per layer": "1", "starts after layer": i % 2},
            excluded="it implies linearity in the labels, which the subject breaks" if name == "ridge" else "",
            kept=name in names,
        )
        for i, name in enumerate(CANDIDATES)
    )
    return Answer(
        question=question,  # type: ignore[arg-type]
        distribution=distribution,
        label=label,  # type: ignore[arg-type]
        algorithms=names,
        reason="It scores best, is clear of the controls, and what it leaves is not explained by the problem.",
        readout="fitted" if question == "path" else "own",
        scores=scores,
        controls=(
            Control(kind="negative", name="another prompt's iterates", value=0.041, interval=(0.02, 0.06)),
            Control(kind="negative", name="untrained", value=-0.003, interval=(-0.01, 0.004)),
            Control(kind="positive", name="planted conjugate gradient", value=0.99999),
        ),
        remainder=0.0042,
        n=512,
        agreement={a: {b: math.exp(-abs(i - j) / 4) for j, b in enumerate(names)} for i, a in enumerate(names)},
    )


def measurements() -> tuple[Measurement, ...]:
    found = []
    for instrument, quantity in (("probes", "cosine"), ("probes", "R²"), ("ablation", "increase of the error")):
        for layer in range(4):
            for kind in ("attn_out", "mlp_out"):
                value = 0.9 / (1 + layer) if quantity != "R²" else 1e-5 * (1 + layer)
                negative = Control(kind="negative", name="untrained", value=value / 20, interval=(0.0, value / 10))
                positive = Control(kind="positive", name="planted", value=0.998)
                found.append(
                    Measurement(
                        instrument=instrument,
                        quantity=quantity,
                        value=value,
                        interval=(value * 0.9, value * 1.1),
                        n=256,
                        coordinates={"site": f"blocks.{layer}.hook_{kind}", "target": "w"},
                        controls=(negative, positive),
                    )
                )
    bare = Measurement(instrument="attention", quantity="entropy", value=7.7654, interval=None, n=256)
    return (*found, bare)


def verdict(label: str = "identified") -> Verdict:
    names = {"identified": CANDIDATES[:1], "indistinguishable": CANDIDATES[:3], "none": ()}[label]
    wide, narrow = "Gaussian inputs, identity covariance", "prescribed spectra, κ in {1, 10, 100, 1000}, stratified"
    invariance = Measurement(
        instrument="invariance",
        quantity="relative change",
        value=0.031,
        interval=(0.027, 0.036),
        n=512,
        coordinates={"invariance": "linear in the labels"},
        controls=(Control(kind="positive", name="one step of gradient descent", value=3.1e-7),),
    )
    return Verdict(
        subject="two-layer",
        label=label,  # type: ignore[arg-type]
        algorithms=names,
        reason="A mixture of condition numbers up to 1000 decides between first-order methods.",
        basis="discriminating",
        training=DistributionVerdict(
            function=answer("function", "indistinguishable", CANDIDATES[:2], wide),
            path=answer("path", "indistinguishable", CANDIDATES[:3], wide),
        ),
        discriminating=DistributionVerdict(
            function=answer("function", "none", (), narrow), path=answer("path", label, names, narrow)
        ),
        invariances=(invariance,),
    )


@pytest.fixture(scope="session")
def figures() -> tuple[Figure, ...]:
    return (spectral_response(), agreement(), error_by_depth(), probes(), patching(), stress(), attention(), signed())


@pytest.fixture(scope="session")
def make_record(figures: tuple[Figure, ...]) -> Callable[..., Record]:
    """Builds a record; every field can be replaced."""

    def make(label: str = "identified", **changed: object) -> Record:
        controls = [
            {"instrument": "probes", "control": "planted conjugate gradient", "kind": "positive",
             "expected": "cosine at least 0.95", "observed": 0.998, "holds": True},
            {"instrument": "ablation", "control": "untrained", "kind": "negative",
             "expected": "no effect beyond 0.05", "observed": 0.083, "holds": False},
        ]  # fmt: skip
        fields: dict[str, object] = {
            "subject": {
                "name": "two-layer",
                "spec": {"layers": 2, "width": 128, "norm": True},
                "sites": ["embed", "z"],
            },
            "verdict": verdict(label),
            "measurements": measurements(),
            "skipped": {"substitution": "the subject has no layer that can be replaced on its own"},
            "controls": tuple(controls),
            "figures": figures,
            "provenance": {"seed": 0, "versions": {"torch": "2.13"}, "commit": "abc123", "seconds": 41.2345},
        }
        return Record(**{**fields, **changed})  # type: ignore[arg-type]

    return make
