"""Pictures and notes of the study `iterate-probes`."""

from collections.abc import Mapping, Sequence

from mesascope.instruments.reading import plain_probes, probes
from mesascope.instruments.reading.iterates import Form, Method, Solver
from mesascope.studies.bench import Bench
from mesascope.studies.conditioning.iterate_targets import (
    CG,
    DUAL,
    FEATURE,
    GD,
    ISOTROPIC_ONES,
    METHODS,
    RUNS,
    STEPS,
    STORES,
    after,
    target,
)
from mesascope.studies.conditioning.networks import ISOTROPIC, LAYERS, MIXED
from mesascope.studies.pictures import lines, only
from mesascope.studies.rules import where
from mesascope.studies.study import published
from mesascope.types import Figure, Measurement, Scalar, bounds


def figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    """The published curve beside ours, what can be read in three forms, and the known answers."""
    return tuple(figure for figure in (_profile(found), _by_form(found), _built(found)) if figure.rows)


def _profile(found: Sequence[Measurement]) -> Figure:
    """The published curve, ours, and that of the raw prompt."""
    rows: list[dict[str, Scalar]] = []
    isotropic = [n.name for n in ISOTROPIC_ONES]
    for short, method in zip(("cg", "gd"), METHODS, strict=True):
        held = where(plain_probes.COSINE, target=DUAL[method].name, network=isotropic).among(found)
        for layer in range(1, LAYERS + 1) if held else ():
            printed = published("A")[f"probe_by_layer_isotropic/{short}/{layer - 1}"]
            at = {"target": f"α of {method}", "layer": layer, "probe of": "source A, printed"}
            rows.append({**at, "cosine": printed})
        for m in held:
            if m.coordinates["layer"] != m.coordinates["step"]:
                continue
            at = {"target": f"α of {method}", "layer": m.coordinates["layer"]}
            rows.append({**at, "probe of": str(m.coordinates["network"]), "cosine": m.value, **bounds(m.interval)})
            if m.coordinates["network"] == ISOTROPIC.name:
                rows += [
                    {**at, "probe of": c.name, "cosine": c.value, **bounds(c.interval)}
                    for c in m.controls
                    if c.name in (plain_probes.RAW, plain_probes.NOISE, plain_probes.UNTRAINED)
                ]
    return lines(
        name="iterates-by-layer",
        section="As published",
        title="Layer ℓ against step ℓ: the source's curve, ours, and that of a probe without a network",
        caption="Flattened cosine of the source's probes for α at κ = 1. The raw prompt alone, without any network, gives a "
        "curve with the same fall and the same zigzag: they are those of the target.",
        rows=tuple(rows),
        x="layer",
        y="cosine",
        series="probe of",
        facet="target",
        titles={"layer": "layer, and step"},
    )


def _by_form(found: Sequence[Measurement]) -> Figure:
    wanted = {target(m, f, s): (m, f, s) for m in METHODS for f in ("weights", "dual", "answer") for s in STEPS}
    words = {"weights": "w, matched", "dual": "α", "answer": "w·x_q"}
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=probes.R2.name):
        if m.coordinates["network"] not in (ISOTROPIC.name, MIXED.name) or m.coordinates["target"] not in wanted:
            continue
        method, form, step = wanted[str(m.coordinates["target"])]
        if step in (2, 8):
            layer = after(m.coordinates["site"])
            at = {"network and target": f"{m.coordinates['network']}: {words[form]}", "layer": layer}
            rows.append({**at, "iterate": f"{method}, step {step}", "R²": max(m.value, 0.0), **bounds(m.interval)})
    return lines(
        name="iterates-by-form",
        section="Done right",
        title="Which iterates can be read at the query, in three forms",
        caption="Held-out R² of ridge probes with the penalty chosen on other prompts; below 0 is drawn at 0. w is scaled to "
        "length 1 in every prompt, so that all targets have the same variance, and does not depend on the order of the "
        "examples; α does.",
        rows=tuple(rows),
        x="layer",
        y="R²",
        series="iterate",
        facet="network and target",
    )


def _built(found: Sequence[Measurement]) -> Figure:
    """What is found of the iterates that hand-built networks run, by how many steps they have taken."""
    taken = {STORES: lambda layer: layer - 1, RUNS: lambda layer: layer // 2}
    shown: dict[str, dict[Form, str]] = {
        STORES: {"weights": "stores w: w", "answer": "stores w: w·x_q"},
        RUNS: {"dual": "does not: α", "answer": "does not: w·x_q"},
    }
    rows: list[dict[str, Scalar]] = []
    for network, forms in shown.items():
        for form, name in forms.items():
            for step in STEPS:
                for m in only(found, quantity=probes.R2.name, network=network, target=target(CG, form, step)):
                    at = {"network and target": name, "steps taken": taken[network](after(m.coordinates["site"]))}
                    rows.append({**at, "iterate": f"step {step}", "R²": max(m.value, 0.0), **bounds(m.interval)})
    return lines(
        name="iterates-known",
        section="Known answers",
        title="What probes find in hand-built networks that run conjugate gradient",
        caption="Held-out R² at the query, by the steps that the network has taken; below 0 is drawn at 0. One network stores "
        "w_k at the query. The other runs data-space conjugate gradient exactly and stores α_k at the examples, one number "
        "each: at the query its α cannot be found, only its answers.",
        rows=tuple(rows),
        x="steps taken",
        y="R²",
        series="iterate",
        facet="network and target",
    )


def notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    """The mean cosines, and why those of α mislead."""
    told = {form: _means(found, solvers) for form, solvers in (("α", DUAL), ("w", FEATURE))}
    raw = [where(plain_probes.MEAN, target=DUAL[m].name, κ=1.0, control=plain_probes.RAW).among(found) for m in METHODS]
    without = " and ".join(f"{held[0].value:.3f}" for held in raw if held)
    return (
        *(
            f"Mean cosine of the source's probes for {form}, conjugate gradient and gradient descent: {'; '.join(means)}."
            for form, means in told.items()
            if means
        ),
        f"A probe of the raw prompt for α at κ = 1, without any network: {without}.",
        "Why α misleads: at the limit α = (y − Xw)/λ is the label noise that the fit leaves, over λ. Nothing that answers the "
        "query needs it. Conjugate gradient gets there in eleven steps, because XXᵀ + λI has eleven eigenvalues that differ; "
        "gradient descent stays near a multiple of y for long, and y is in the prompt, one label per position.",
        "Why gradient descent's curve has teeth: with step 2/(λmax + λmin) and λmin = λ = 0.1 the largest eigen-direction "
        "overshoots by almost its whole length and comes back, so that odd steps look like y, and even ones do not.",
    )


def _means(found: Sequence[Measurement], solvers: Mapping[Method, Solver]) -> list[str]:
    """Both methods' mean cosine for every network and κ, in words."""
    words: list[str] = []
    for m in only(found, quantity=plain_probes.MEAN.name, target=solvers[CG].name):
        network, κ = m.coordinates["network"], m.coordinates["κ"]
        (other,) = only(found, quantity=plain_probes.MEAN.name, target=solvers[GD].name, network=network, κ=κ)
        words.append(f"{network} at κ = {κ:g}: {m.value:.3f} and {other.value:.3f}")
    return words
