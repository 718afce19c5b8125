"""Softmax attention: one layer answers with an average of the targets."""

from collections.abc import Iterator

from mesascope.models.constructions import kernel_gradient_descent
from mesascope.theory.quantities import p, y_1, y_2
from mesascope.theory.running.reading import Reading, Rebuilding, draw, prompts_of, ran
from mesascope.theory.statements.softmax import prediction

DIM, PROMPTS, EXAMPLES, TEMPERATURE = 3, 64, (2, 5), 2.0


def softmax(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """The first layer of kernel gradient descent with step size 1, with two examples and with five."""
    assert not exact, "exponentials are no fractions"
    for examples in EXAMPLES:
        xs = draw((PROMPTS, examples, DIM), seed, f"softmax/x/{examples}", exact)
        ys = draw((PROMPTS, examples), seed, f"softmax/y/{examples}", exact)
        asked = draw((PROMPTS, 1, DIM), seed, f"softmax/query/{examples}", exact)
        construction = change(kernel_gradient_descent(layers=1, step_size=1.0, temperature=TEMPERATURE))
        seen = ran(construction, construction.channels(DIM), prompts_of(xs, ys, asked), exact)
        shown, query = seen.held[0]["x"].split([examples, 1], 1)
        targets, answer = seen.held[0]["label"][:, :examples, 0], -seen.held[1]["label"][:, examples, 0]
        scores = (shown * query).sum(-1) / TEMPERATURE
        sequences = {"s": list(scores.unbind(1)), "y": list(targets.unbind(1)), "n": examples - 1}
        yield Reading(key="softmax_least", values={**sequences, "h": targets.amin(1)}, measured={prediction: answer})
        yield Reading(key="softmax_most", values={**sequences, "h": targets.amax(1)}, measured={prediction: answer})
        if examples == 2:
            first = targets.argmin(1, keepdim=True)
            share = scores.softmax(1).gather(1, first)[:, 0]
            values = {"p": share, "y_1": targets.amin(1), "y_2": targets.amax(1)}
            for key in ("B1", "B2"):
                yield Reading(key=key, values=values, measured={p * y_1 + (1 - p) * y_2: answer})
