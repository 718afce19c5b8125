"""Readings of running networks: their channels at every depth, as values at which statements are checked."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.models.constructions import Channels, Construction, Weights
from mesascope.models.constructions.ordinary import as_transformer
from mesascope.models.subject import TransformerSubject
from mesascope.seeds import generator
from mesascope.theory.expressions import Expression
from mesascope.theory.rounding import Rounded
from mesascope.types import Prompts, Site, Subject

Numbers = Any
"""One number per point: a tensor in float64, or a NumPy array of fractions equal to the float64 numbers; with its size if terms
cancelled (`Rounded`)."""

Readings = Mapping[Expression, Any]
"""By expression, the value that a network computed for it; inside a quantifier, a list over its index."""

Rebuilding = Callable[[Construction], Construction]
"""A change of a network before it runs. Only tests use one: they introduce a mistake that must be found."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """The values of one statement's variables in a network's run.

    Attributes:
        key: the statement's key.
        values: the variables' values by name (`numeric.Values`), read from channels or known from prompts and weights.
        measured: the network's own values of expressions in the statement, so that the check is about the network and not
            about arithmetic.
        laws: indices of the hypotheses that describe a layer. They must hold at every point; other hypotheses select points.
    """

    key: str
    values: Mapping[str, Any]
    measured: Readings = field(default_factory=dict)
    laws: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ran:
    """The channels of a network during a run.

    Attributes:
        held: by depth, from before the first layer to after the last, the channels by name (batch, position, channel).
        added: by layer, the output of its attention, by channel.
        examples: number of positions with examples; queries follow.
    """

    held: tuple[Mapping[str, Numbers], ...]
    added: tuple[Mapping[str, Numbers], ...]
    examples: int


def ran(subject: Subject, channels: Channels, prompts: Prompts, exact: bool) -> Ran:
    """Run a network and read its channels at every depth."""
    layers = range(len(subject.path))
    before = [Site(layer=layer, kind="resid_pre") for layer in layers]
    after, added = list(subject.path), [Site(layer=layer, kind="attn_out") for layer in layers]
    trace = subject.trace(prompts, capture=[*before[:1], *after, *added])

    def named(site: Site) -> Mapping[str, Numbers]:
        return {name: numbers(value, exact) for name, value in channels.split(trace[site]).items()}

    held, attended = tuple(named(site) for site in (before[0], *after)), tuple(named(site) for site in added)
    return Ran(held=held, added=attended, examples=prompts.xs.shape[1])


def numbers(values: Tensor, exact: bool) -> Numbers:
    """The same numbers; as fractions if ``exact``."""
    return np.vectorize(Fraction, otypes=[object])(values.numpy()) if exact else values


def draw(size: tuple[int, ...], seed: int, stream: str, exact: bool, *, zero: bool = True) -> Tensor:
    """Random numbers: normal, or small binary fractions, with which a few layers compute without rounding.

    Args:
        size: the shape.
        seed, stream: the arguments of the random generator.
        exact: draw binary fractions: multiples of 1/2 from −2 to 2.
        zero: whether 0 is allowed among the binary fractions.
    """
    rng = generator(seed, f"theory/running/{stream}/{'exact' if exact else 'float'}")
    if not exact:
        return torch.randn(size, generator=rng, dtype=torch.float64)
    halves = torch.randint(1, 5, size, generator=rng) * (2 * torch.randint(0, 2, size, generator=rng) - 1)
    drawn = halves.double() / 2
    return drawn * (torch.rand(size, generator=rng) < 0.9) if zero else drawn


def prompts_of(
    xs: Float[Tensor, "batch example dim"],
    ys: Float[Tensor, "batch example"],
    queries: Float[Tensor, "batch query dim"] | None = None,
) -> Prompts:
    """Prompts whose queries are the unit vectors, unless given, so that the answers are the weights."""
    batch, _, dim = xs.shape
    asked = torch.eye(dim, dtype=torch.float64).expand(batch, dim, dim) if queries is None else queries
    return Prompts(
        xs=xs,
        ys=ys,
        queries=asked,
        targets=torch.zeros(asked.shape[:2], dtype=torch.float64),  # not used
        target_variance=torch.ones(batch, dtype=torch.float64),
    )


def rewritten(construction: Construction, rewrite: Callable[[Weights], Weights]) -> Construction:
    """A construction whose network is changed by ``rewrite`` after it is built."""
    return dataclasses.replace(construction, build=lambda dim: rewrite(construction.build(dim)))


def reweighted(construction: Construction, weigh: Callable[[str, Tensor, Weights], Tensor]) -> Construction:
    """A construction with new weights: ``weigh`` gets each weight's name, its value, and the network."""
    return rewritten(
        construction, lambda net: net.with_weights({k: weigh(k, value, net) for k, value in net.state_dict().items()})
    )


def subjects(construction: Construction, dim: int, examples: int, exact: bool) -> tuple[Subject, ...]:
    """The hand-built network and, in float64 only, an ordinary transformer with its weights (√width is not a fraction).

    A network without linear scores has no equivalent transformer.
    """
    if exact or construction.build(dim).scores != "linear":
        return (construction,)
    model = as_transformer(construction, dim, examples)
    return construction, TransformerSubject(name=f"{construction.name} in the transformer", model=model)


def along(parts: list[Numbers]) -> Numbers:
    """The points of several layers concatenated into one array."""
    first = parts[0]
    if isinstance(first, Rounded):
        return Rounded(along([part.value for part in parts]), along([part.size for part in parts]))
    return torch.cat(parts) if isinstance(first, Tensor) else np.concatenate(parts)
