"""Several outputs: m regressions on the same inputs, solved side by side in the same layers."""

import dataclasses
import functools
from collections.abc import Callable, Sequence, Set

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.models.constructions.conjugate_gradient import conjugate_gradient
from mesascope.models.constructions.gradient_descent import gradient_descent
from mesascope.models.constructions.network import (
    Channels,
    Construction,
    Gate,
    Head,
    Layer,
    Named,
    Weights,
    copy_name,
    embedded,
    forward,
)
from mesascope.records.checks import check_count
from mesascope.seeds import generator

MOST_OUTPUTS = 100
"""The largest number of outputs of a network."""


def several_outputs(construction: Construction, outputs: int, seed: int = 0) -> Construction:
    """The construction for labels y ∈ Rᵐ: m regressions run side by side, in the same number of layers as one.

    Channels: those of the construction, which belong to the first output or to all; and for output k = 2, …, m a copy,
    ``NAME k``, of each channel whose value depends on the labels. Heads and gates that work on such channels act
    once per output; a head that reads none of them, such as the one by which GD++ moves the inputs, acts once.

    As a subject it gets prompts with one label per example: these are the first output's labels, and the first output's
    answer is the network's answer. The other outputs solve their own regressions at the same time: yᵢ = ⟨xᵢ, w_k⟩ with w_k ~
    N(0, I/dim) drawn from the seed, the same for all prompts. `answer_outputs` takes labels for all m outputs and returns all
    answers.

    Args:
        construction: any construction with one output; the channels that depend on the labels are found from its weights.
        outputs: m; 1 changes only the options.
        seed: the seed of the other outputs' weights.

    Raises:
        ValueError: outputs is not a whole number from 1 to 100, or the construction has several already.

    Source: own; for one step of gradient descent, von Oswald et al. 2023, Proposition 1, which has vector targets.
    """
    check_count("outputs", outputs)
    if outputs > MOST_OUTPUTS:
        raise ValueError(
            f"outputs must be at most {MOST_OUTPUTS}; got {outputs}. Each has its own channels and heads: ask for fewer."
        )
    if construction.build(1).others is not None:
        raise ValueError(
            f"construction must have one output; {construction.name} has several already. Pass the one it was made from."
        )
    return dataclasses.replace(
        construction,
        build=functools.partial(_build, build=construction.build, outputs=outputs, seed=seed),
        options={**construction.options, "outputs": outputs, "seed": seed},
    )


def gradient_descent_several_outputs(
    *, layers: int = 8, step_size: float = 0.25, outputs: int = 3, seed: int = 0
) -> Construction:
    """Gradient descent for several outputs.

    Channels: ``x``; ``label`` as in `gradient_descent`, and ``label 2``, ``label 3``, … likewise.

    Args:
        layers: number of layers, one per step.
        step_size: η, for the mean gradient Xᵀ(Xw − y)/n.
        outputs, seed: see `several_outputs`.

    Raises:
        ValueError: layers outside 1 to 1000, a step size that is not a finite number above 0, or outputs outside 1 to
            100.

    Source: von Oswald et al. 2023, Proposition 1.
    """
    construction = several_outputs(gradient_descent(layers=layers, step_size=step_size), outputs, seed)
    return dataclasses.replace(construction, name="gradient-descent-several-outputs")


def conjugate_gradient_several_outputs(*, iterations: int = 6, outputs: int = 3, seed: int = 0) -> Construction:
    """Conjugate gradient for several outputs: each has its own step lengths and directions.

    Channels: those of `conjugate_gradient`; all except ``x``, ``example`` and ``one`` exist once per output.

    Args:
        iterations: number of iterations, two layers each.
        outputs, seed: see `several_outputs`.

    Raises:
        ValueError: iterations outside 1 to 1000, or outputs outside 1 to 100.

    Source: own.
    """
    construction = several_outputs(conjugate_gradient(iterations=iterations), outputs, seed)
    return dataclasses.replace(construction, name="conjugate-gradient-several-outputs")


def answer_outputs(
    construction: Construction,
    xs: Float[Tensor, "batch example dim"],
    ys: Float[Tensor, "batch example output"],
    queries: Float[Tensor, "batch query dim"],
) -> Float[Tensor, "batch query output"]:
    """The answers of all outputs, given labels for each output, in one pass.

    Args:
        construction: a construction made by `several_outputs`.
        xs, ys, queries: the examples, with one label per output, and the inputs to answer.

    Raises:
        ValueError: the number of labels per example is not the number of outputs.
    """
    network = construction.build(xs.shape[-1])
    outputs = 1 if network.others is None else 1 + len(network.others)
    if ys.shape[-1] != outputs:
        raise ValueError(f"ys must have one label for each of the {outputs} outputs; got {ys.shape[-1]} per example.")
    xs, ys, queries = (values.to(construction.dtype) for values in (xs, ys, queries))
    stream = forward(network, embedded(network, xs, ys, queries), xs.shape[1])
    slices = network.channels.slices
    readouts = torch.zeros(outputs, network.channels.width, dtype=torch.float64)
    for k in range(outputs):
        for name in slices:
            if (copy := copy_name(name, k + 1)) in slices:
                readouts[k, slices[copy]] = network.readout[slices[name]]
    return stream[:, xs.shape[1] :] @ readouts.to(stream).T


def _build(dim: int, *, build: Callable[[int], Weights], outputs: int, seed: int) -> Weights:
    network = build(dim)
    channels, state = network.channels, _state(network)
    sizes = {
        copy_name(name, k): size
        for k in range(1, outputs + 1)
        for name, size in channels.sizes.items()
        if k == 1 or name in state
    }
    wide = Channels(sizes=sizes)
    views = [
        torch.cat([wide.read(copy_name(name, k) if name in state else name) for name in channels.sizes])
        for k in range(1, outputs + 1)
    ]
    wider = {
        layer: Layer(
            heads=tuple(copy for head in layer.heads for copy in _copies(head, _columns(channels, state), views)),
            gate=functools.partial(
                _once_each, gate=layer.gate, names=tuple(channels.sizes), state=state, outputs=outputs
            )
            if layer.gate
            else None,
        )
        for layer in set(network.layers)
    }
    embed = {
        copy_name(channel, k): copy_name(feature, k) if feature == "label" else feature
        for k in range(1, outputs + 1)
        for channel, feature in network.embed.items()
        if k == 1 or channel in state
    }
    draws = [generator(seed, f"several-outputs/{dim}", k) for k in range(2, outputs + 1)]
    others = [torch.randn(dim, generator=rng, dtype=torch.float64) / dim**0.5 for rng in draws]
    return dataclasses.replace(
        network,
        channels=wide,
        embed=embed,
        layers=tuple(wider[layer] for layer in network.layers),
        readout=network.readout @ views[0],
        others=torch.stack(others) if others else torch.zeros(0, dim, dtype=torch.float64),
    )


def _state(network: Weights) -> frozenset[str]:
    """The channels that depend on the labels: those that start as a label, outputs of gates, and outputs of heads on these."""
    found = {channel for channel, feature in network.embed.items() if feature == "label"}
    nothing = network.channels.split(torch.zeros(1, 1, network.channels.width, dtype=torch.float64))
    for layer in set(network.layers):
        found |= set(layer.gate(nothing)) if layer.gate else set()
    heads = {head for layer in network.layers for head in layer.heads}
    while True:
        columns = _columns(network.channels, found)
        outs = [head.out for head in heads if _reads(head, columns)]
        more = {name for name, where in network.channels.slices.items() if any(bool(out[where].any()) for out in outs)}
        if more <= found:
            return frozenset(found)
        found |= more


def _columns(channels: Channels, names: Set[str]) -> Bool[Tensor, " width"]:
    """A mask of the stream's coordinates that belong to these channels."""
    return torch.cat([torch.full((size,), name in names) for name, size in channels.sizes.items()])


def _reads(head: Head, columns: Bool[Tensor, " width"]) -> bool:
    return any(bool(matrix[:, columns].any()) for matrix in (head.query, head.key, head.value))


def _copies(
    head: Head, state: Bool[Tensor, " width"], views: Sequence[Float[Tensor, "width wide"]]
) -> tuple[Head, ...]:
    """One copy of the head per output's view of the stream; or a single head for all views, if it reads the same in all."""
    everywhere = (views[0], torch.stack(list(views)).amax(0))
    reading = [(view, view) for view in views] if _reads(head, state) else [everywhere]
    return tuple(
        Head(query=head.query @ view, key=head.key @ view, value=head.value @ view, out=into.T @ head.out)
        for view, into in reading
    )


def _once_each(c: Named, *, gate: Gate, names: Sequence[str], state: Set[str], outputs: int) -> Named:
    """Apply a gate in each output's view of the stream."""
    new: Named = {}
    for k in range(1, outputs + 1):
        view = {name: c[copy_name(name, k) if name in state else name] for name in names}
        new |= {copy_name(name, k): value for name, value in gate(view).items()}
    return new
