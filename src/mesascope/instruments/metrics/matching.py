"""Best-matching steps: for each layer, the step of an algorithm that it is most similar to.

An argmax always names a step, even for a network that runs no such algorithm. So beside every similarity stands the one with
another prompt's iterates, and beside every best step the best step by those.

Source: Fu et al. 2023, definition 3.4.
Departs from source: layers are read by the subject's own readout if its error is acceptable at every layer (as in
identification), otherwise by a ridge regression in closed form. The paper fits a readout to every layer by gradient descent.
"""

from collections.abc import Sequence
from typing import Literal

from mesascope.algorithms import Algorithm
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.metrics.layers import Vectors, induced_weights, prefix_errors
from mesascope.instruments.metrics.panel import NAME, cosine
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners
from mesascope.types import (
    Control,
    Figure,
    Measurement,
    Prompts,
    Scalar,
    Subject,
    Task,
    adjusted,
    answering_everywhere,
    bounds,
)

BEST = "best-matching step"
ITSELF = "this step itself, in single precision"
OTHERS = "another prompt's iterates"


def best_matching_steps(
    subject: Subject,
    algorithm: Algorithm,
    task: Task,
    *,
    seed: int = 0,
    n: int = 128,
    steps: int | None = None,
    metric: Literal["auto", "SimE", "SimW"] = "auto",
) -> tuple[Measurement, ...]:
    """The similarity of every layer with every iterate, and for each layer the most similar step.

    Controls of a similarity. Positive: the iterate in single precision, with itself. Negative: the layer with another
    prompt's iterates. Controls of a best step. Positive: the best step of the last iterate, which should be the last.
    Negative: the layer's best step among another prompt's iterates. The interval of a best step is that of the argmax over
    bootstrap repetitions.

    Args:
        subject: what to examine.
        algorithm: the algorithm whose iterates it is compared with.
        task: where the prompts come from.
        seed: of the prompts and the resampling.
        n: number of prompts to score on, and again to fit readouts on.
        steps: the last iterate; by default twice the number of layers, and at least four.
        metric: see `mesascope.instruments.metrics.fu`; ``auto`` is SimE if the subject answers at every position, otherwise
            SimW.

    Raises:
        ValueError: ``steps`` is below 1.
        NotApplicable: the subject has no layers to read, ``metric`` is SimE and the subject does not answer at every
            position, or answers or iterates are not finite.
    """
    if not subject.path:
        raise NotApplicable(f"{subject.name} shows no layers (its path is empty).")
    everywhere = answering_everywhere(subject) is not None
    chosen = ("SimE" if everywhere else "SimW") if metric == "auto" else metric
    if chosen == "SimE" and not everywhere:
        raise NotApplicable(f"{subject.name} does not answer at every position (answers_everywhere); match by SimW.")
    most = max(2 * len(subject.path), 4) if steps is None else steps
    if most < 1:
        raise ValueError(f"steps must be at least 1; got {most}. Step 0 is the zero predictor.")
    several = adjusted(task, queries=1 if chosen == "SimE" else 4 * task.dim)
    fit, score = (several.sample(n, seed=seed, stream=f"{NAME}/matching/{name}") for name in ("fit", "score"))
    vectors = (prefix_errors if chosen == "SimE" else induced_weights)(subject, algorithm, fit, score, most)
    if not all(bool(v.isfinite().all()) for v in (vectors.layers, vectors.steps, vectors.rough)):
        raise NotApplicable(f"{subject.name} or {algorithm.name} has answers that are not finite.")
    return _measured(subject, algorithm.name, chosen, vectors, score, seed)


def _measured(
    subject: Subject, reference: str, metric: str, vectors: Vectors, score: Prompts, seed: int
) -> tuple[Measurement, ...]:
    draws = bootstrap.weights(len(score), seed=seed, strata=score.strata)
    table = cosine(vectors.layers[:, None], vectors.steps)  # (layer, step, batch)
    wrong = cosine(vectors.layers[:, None], vectors.steps[:, partners(score)])
    known = cosine(vectors.rough, vectors.steps)  # (step, batch)
    last = vectors.first + int(cosine(vectors.rough[-1], vectors.steps).mean(-1).argmax())
    best, mistaken = ((vectors.first + t.mean(-1).argmax(-1)).tolist() for t in (table, wrong))
    found: list[Measurement] = []
    for layer, site in enumerate(subject.path):
        where: dict[str, Scalar] = {"layer": layer + 1, "site": str(site), "readout": vectors.readout}
        where |= {"reference": reference, "metric": metric}
        replicates = vectors.first + (draws @ table[layer].T).argmax(-1)
        itself = Control(kind="positive", name=f"step {vectors.first + len(known) - 1} itself", value=float(last))
        found.append(
            Measurement(
                instrument=NAME,
                quantity=BEST,
                value=float(best[layer]),
                interval=bootstrap.interval(replicates.double()),
                n=len(score),
                unit="steps",
                coordinates=where,
                controls=(itself, Control(kind="negative", name=OTHERS, value=float(mistaken[layer]))),
            )
        )
        for index, similarity in enumerate(table[layer]):
            step = vectors.first + index
            marks = {"best": step == best[layer], "best in the control": step == mistaken[layer]}
            found.append(
                measure(
                    NAME,
                    Quantity(name=f"{metric} by layer and step"),
                    similarity,
                    draws,
                    coordinates={**where, "step": step, **marks},
                    positive={ITSELF: known[index]},
                    negative={OTHERS: wrong[layer, index]},
                )
            )
    return tuple(found)


def heat_map(measurements: Sequence[Measurement]) -> Figure:
    """Similarity by layer and step, with each layer's best-matching step outlined; one more panel shows the control."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME or "best" not in m.coordinates:
            continue
        where = f"{m.coordinates['reference']}, {m.coordinates['metric']}"
        other = next(c for c in m.controls if c.name == OTHERS)
        for panel, best, shown in ((where, "best", m), (f"{where}: {OTHERS}", "best in the control", other)):
            place = {"algorithm": panel, "layer": m.coordinates["layer"], "step": m.coordinates["step"]}
            rows.append({**place, "best": m.coordinates[best], "similarity": shown.value, **bounds(shown.interval)})
    return Figure(
        name="best-matching-steps",
        section="Metrics from the literature",
        title="Best-matching steps (Fu et al. 2023)",
        caption="Cosine between a layer's and an iterate's errors over positions (SimE) or induced weights (SimW), mean over "
        "prompts. The step with the largest cosine is outlined. There is always one, whatever the network does, also in the "
        "control with another prompt's iterates. This is a diagnostic; the verdict does not rest on it.",
        kind="heatmap",
        rows=tuple(sorted(rows, key=lambda row: str(row["algorithm"]).endswith(OTHERS))),
        x="step",
        y="layer",
        value="similarity",
        series="best",
        facet="algorithm",
        low="low",
        high="high",
    )
