"""A single layer of linear self-attention, described by the products of its weights."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.models.constructions import Construction
from mesascope.types import Prompts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearAttention:
    """One layer with one head of linear self-attention on tokens t = (x, y), and (x_q, 0) for a query.

    The answer is r·(W_PV (1/n) Σᵢ tᵢtᵢᵀ W_KQ t_q), with r the readout. The products W_KQ = KᵀQ and W_PV = OV do not depend
    on the basis of the head's inner space. Only one number c, the *gauge*, is left free: (c·W_KQ, W_PV/c) is the same network.

    Attributes:
        name: its name in reports.
        kq: W_KQ without the column of the query's label, which is 0; its rows belong to the entries of an example's token.
        pv: W_PVᵀ r, the weights with which the entries of an example's token enter the answer.
    """

    name: str
    kq: Float[Tensor, "token dim"]
    pv: Float[Tensor, " token"]

    @classmethod
    def of(cls, construction: Construction, dim: int) -> "LinearAttention":
        """The products of a hand-built network's weights, for an input dimension.

        Raises:
            NotApplicable: the network is not one layer with one head and no gate on channels that hold only x and y, or it
                also answers from the query's own token.
        """
        network = construction.build(dim)
        heads = [head for layer in network.layers for head in layer.heads]
        gates = [layer.gate for layer in network.layers if layer.gate is not None]
        features = set(network.embed.values())
        if len(network.layers) != 1 or len(heads) != 1 or gates or not features <= {"x", "label"}:
            raise NotApplicable(
                f"{construction.name} is not a single layer with one head, no gate and tokens (x, y): it has "
                f"{len(network.layers)} layers, {len(heads)} heads, {len(gates)} gates, tokens of {sorted(features)}."
            )
        blocks = {"x": torch.eye(dim + 1)[:dim], "label": torch.eye(dim + 1)[dim:]}
        embed = torch.zeros(network.channels.width, dim + 1, dtype=torch.float64)
        for channel, feature in network.embed.items():
            embed[network.channels.slices[channel]] = blocks[feature].double()
        (head,) = heads
        if bool((embed.T @ network.readout)[:dim].any()):
            raise NotApplicable(
                f"{construction.name} also answers from the query's own token, so its attention does not describe it."
            )
        kq = embed.T @ head.key.T @ head.query @ embed
        return cls(name=construction.name, kq=kq[:, :dim], pv=embed.T @ head.value.T @ head.out.T @ network.readout)

    @classmethod
    def of_products(
        cls,
        *,
        name: str,
        kq: Float[Tensor, "token token"],
        pv: Float[Tensor, "token token"],
        readout: Float[Tensor, " token"],
    ) -> "LinearAttention":
        """From full products W_KQ and W_PV on tokens (x, y), and the readout (minus the label's entry, in von Oswald et al.)."""
        return cls(name=name, kq=kq.double()[:, :-1], pv=pv.double().T @ readout.double())

    def answers(self, prompts: Prompts) -> Float[Tensor, "batch query"]:
        """The network's predictions, in float64."""
        tokens = torch.cat([prompts.xs, prompts.ys[..., None]], -1).double()
        weights = (tokens @ self.pv)[:, None] @ tokens @ self.kq / prompts.examples
        return (prompts.queries.double() @ weights.mT)[..., 0]

    def scaled(self, factor: float) -> "LinearAttention":
        """The same network in another gauge: W_KQ times ``factor``, and W_PV over it."""
        return dataclasses.replace(self, kq=factor * self.kq, pv=self.pv / factor)

    def balanced(self) -> "LinearAttention":
        """The same network in the gauge in which both products have equal norm; only a common sign is left free.

        Raises:
            ValueError: a product is zero, so the network always answers zero.
        """
        left, right = float(self.kq.norm()), float(self.pv.norm())
        if not left * right > 0:
            raise ValueError(
                f"kq and pv must not be zero to be brought to equal norms; got norms {left:.3g} and {right:.3g} in "
                f"{self.name}. Leave out a network that always answers zero."
            )
        return self.scaled((right / left) ** 0.5)
