"""Self-checks of a language model, made when it is loaded: does its row in the table of families say what the model computes?

Each check is a function that returns what is wrong, in words, or an empty text. They take one forward pass each, on a few short
sequences of random tokens.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.models.language.network import Network
from mesascope.models.language.passes import added_by_heads, run, unembed
from mesascope.models.language.tokens import Tokens, plain
from mesascope.records.shown import shown
from mesascope.seeds import generator
from mesascope.types import Intervention, Site

LENGTH = 10
"""Tokens of the sequences that the checks are made with."""
FEW = 4
"""Tokens of those that are edited at every site, each site in a sequence of its own."""
TOLERANCE = 1e-4
"""The largest difference that rounding explains, as a share of the largest value (of 1, if all values are smaller)."""
MOVED = 1e-5
"""The least change of the logits that an edit has to cause, as a share of the largest logit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One pass with everything captured, which several checks read.

    Attributes:
        network: the model under check.
        ids: two sequences of random tokens.
        at: what every site computes.
        logits: the model's own logits.
        tolerance: the share of the largest value that rounding explains, in the model's precision.
    """

    network: Network
    ids: Int[Tensor, "batch position"]
    at: dict[Site, Tensor]
    logits: Float[Tensor, "batch position vocab"]
    tolerance: float

    def __getitem__(self, key: tuple[int, str]) -> Tensor:
        return self.at[Site(layer=key[0], kind=key[1])]

    def apart(self, one: Tensor, other: Tensor) -> float:
        """The largest difference, if it is more than rounding explains; otherwise 0. Infinite if the shapes differ."""
        if one.shape != other.shape:
            return math.inf
        scale = max(float(one.abs().max()), float(other.abs().max()), 1.0)
        found = float((one - other).abs().max())
        return 0.0 if found <= self.tolerance * scale else found


@torch.no_grad()
def check_network(network: Network, name: str) -> None:
    """Make all self-checks.

    Args:
        network: the model.
        name: its name in messages.

    Raises:
        ValueError: a check failed; the message says which, where, and by how much.
    """
    drawn = draw(network)
    for check in CHECKS:
        if fault := check(drawn):
            raise ValueError(
                f"model {shown(name)} must compute what its row for {network.family.name} says; the self-check "
                f"{check.__name__.replace('_', ' ')} failed: {fault}. Correct the row, or add one: see CONTRIBUTING, 'A family "
                "of language models'."
            )


@torch.no_grad()
def overwritten(network: Network) -> frozenset[str]:
    """The kinds of site where the model writes into what it computed before, so that a capture has to be a copy."""
    kept: dict[Site, tuple[Tensor, int]] = {}

    def keep(site: Site) -> Callable[[Tensor], Tensor]:
        def look(value: Tensor) -> Tensor:
            kept[site] = value, value._version
            return value

        return look

    edits = [Intervention(site=site, edit=keep(site)) for site in network.sites]
    run(network, plain(_ids(network)), interventions=edits)
    return frozenset(site.kind for site, (value, version) in kept.items() if value._version != version)


@torch.no_grad()
def draw(network: Network) -> Sample:
    """The pass that the checks read."""
    ids = _ids(network)
    found = run(network, plain(ids), capture=network.sites)
    logits = network.model(ids.to(network.device), use_cache=False).logits
    rounding = torch.finfo(logits.dtype).eps
    return Sample(
        network=network, ids=ids, at=found.activations, logits=logits, tolerance=max(TOLERANCE, 16 * rounding)
    )


# --------------------------------------------------------------------------------------------- the checks


def shapes_at_every_site(drawn: Sample) -> str:
    """Streams have the model's width, heads' outputs an axis of heads, patterns two axes of positions."""
    network = drawn.network
    batch, length = drawn.ids.shape
    width = int(network.config.hidden_size)
    for site, value in drawn.at.items():
        shape = tuple(value.shape)
        wanted = {"pattern": (batch, network.heads, length, length), "z": (batch, length, network.heads, *shape[3:])}
        if shape != (expected := wanted.get(site.kind, (batch, length, width))) or (
            site.kind == "z" and len(shape) != 4
        ):
            return f"{site} has the shape {shape} instead of {expected}"
    return ""


def sums_in_the_residual_stream(drawn: Sample) -> str:
    """The stream between the parts is the one before plus attention, the one after is that plus the feed-forward network.

    Checked as computed, and with edits between the parts: an edit that reaches only the part that reads it would break the second
    sum.
    """
    network = drawn.network
    middles = [] if network.parallel else [site for site in network.sites if site.kind == "resid_mid"]
    nudge = [Intervention(site=site, edit=lambda value: value + _noise(value)) for site in middles]
    edited = run(network, plain(drawn.ids), capture=network.sites, interventions=nudge).activations
    for words, values in (("", drawn), (" with an edit there", dataclasses.replace(drawn, at=edited))):
        for layer in range(len(network.blocks)):
            before, attention = values[layer, "resid_pre"], values[layer, "attn_out"]
            middle = before + attention if network.parallel else values[layer, "resid_mid"]
            if not words and (apart := drawn.apart(middle, before + attention)):
                return f"resid_mid is not resid_pre + attn_out in layer {layer}: they differ by {apart:.2g}"
            after = middle + values[layer, "mlp_out"]
            if apart := drawn.apart(values[layer, "resid_post"], after):
                parts = "resid_pre + attn_out + mlp_out" if network.parallel else "resid_mid + mlp_out"
                return f"resid_post is not {parts} in layer {layer}{words}: they differ by {apart:.2g}"
            follows = layer + 1 < len(network.blocks)
            if follows and (apart := drawn.apart(values[layer, "resid_post"], values[layer + 1, "resid_pre"])):
                return f"resid_pre of layer {layer + 1} is not resid_post of layer {layer}: they differ by {apart:.2g}"
    return ""


def lens_at_the_last_layer(drawn: Sample) -> str:
    """The lens after the last layer gives the logits: the final norm is applied once, and the unembedding is the model's."""
    last = drawn[len(drawn.network.blocks) - 1, "resid_post"]
    apart = drawn.apart(unembed(drawn.network, last), drawn.logits)
    return f"it differs from the logits by {apart:.2g}" if apart else ""


def rows_of_attention(drawn: Sample) -> str:
    """Attention patterns are distributions over what a position may see."""
    for site, value in drawn.at.items():
        if site.kind != "pattern":
            continue
        sums = value.sum(-1)
        if apart := drawn.apart(sums, torch.ones_like(sums)):
            return f"the rows of {site} do not sum to 1: they are off by {apart:.2g}"
        if float(value.min()) < 0 or float(value.triu(1).abs().max()) > drawn.tolerance:
            return f"{site} has negative weights, or weights on later positions"
    return ""


def sum_over_heads(drawn: Sample) -> str:
    """The heads' outputs, each through its share of the output projection, sum to what attention adds to the stream."""
    for layer in range(len(drawn.network.blocks)):
        found = added_by_heads(drawn.network, layer, drawn[layer, "z"])
        if apart := drawn.apart(found, drawn[layer, "attn_out"]):
            return f"the heads of layer {layer} do not sum to attn_out: they differ by {apart:.2g}"
    return ""


def edits_at_every_site(drawn: Sample) -> str:
    """An edit at any site changes the logits. Each row of one batch is edited at a site of its own, and one row at none."""
    network = drawn.network
    sites = network.sites

    def at_row(row: int, site: Site) -> Intervention:
        def edit(value: Tensor) -> Tensor:
            new = value.clone()
            if (
                site.kind == "pattern"
            ):  # everybody attends only to the earlier position that got least: to none that is a sink
                seen = torch.ones_like(value[row], dtype=torch.bool).tril()
                least = value[row].masked_fill(~seen, math.inf).argmin(-1, keepdim=True)
                new[row] = torch.zeros_like(value[row]).scatter(-1, least, 1.0)
            else:
                new[row] += _noise(value[row])
            return new

        return Intervention(site=site, edit=edit)

    ids = drawn.ids[:1, :FEW].expand(len(sites) + 1, -1)
    edits = [at_row(row, site) for row, site in enumerate(sites)]
    logits = unembed(network, run(network, plain(ids), interventions=edits).hidden[:, -1], normed=True)
    own, scale = drawn.logits[0, FEW - 1], float(drawn.logits.abs().max())
    if apart := drawn.apart(logits[-1], own):
        return f"edits of other prompts change the logits of this one by {apart:.2g}"
    moved = (logits[:-1] - own).abs().amax(-1)
    still = [str(site) for site, change in zip(sites, moved.tolist(), strict=True) if not change > MOVED * scale]
    return f"an edit at {still[0]} does not change the logits" if still else ""


def a_prompt_alone_and_in_a_batch(drawn: Sample) -> str:
    """A prompt gives the same logits alone, and beside another in a batch with gaps and with continuations."""
    network, length = drawn.network, LENGTH
    long, short = drawn.ids[0], drawn.ids[1, : length - 3]
    ids = torch.zeros(2, 2 * length, dtype=torch.long)
    real = torch.ones(2, 2 * length, dtype=torch.bool)
    # Both rows: a context of 8 positions, a continuation of it that nobody asked for, and the prompt's own last tokens.
    context = length - 2
    ids[0, :context], ids[0, -2:] = long[:context], long[context:]
    ids[1, 3:context], ids[1, -2:] = short[:-2], short[-2:]
    real[1, :3] = False
    ids[:, context:-2] = drawn.ids.flip(1)
    branch = torch.tensor([0] * context + [1] * length + [2] * 2)
    tokens = Tokens(ids=ids, real=real, branch=branch, parents=(0, 0, 0))
    found = unembed(network, run(network, tokens).hidden[:, -1], normed=True)
    for row, alone in enumerate((long, short)):
        own = network.model(alone[None].to(network.device), use_cache=False).logits[0, -1]
        if apart := drawn.apart(found[row], own):
            return f"the logits of a prompt of {len(alone)} tokens differ by {apart:.2g}"
    return ""


CHECKS: tuple[Callable[[Sample], str], ...] = (
    shapes_at_every_site,
    sums_in_the_residual_stream,
    lens_at_the_last_layer,
    rows_of_attention,
    sum_over_heads,
    edits_at_every_site,
    a_prompt_alone_and_in_a_batch,
)


def _ids(network: Network) -> Int[Tensor, "batch position"]:
    words = network.unembedding.weight.shape[0]  # type: ignore[union-attr]
    return torch.randint(0, int(words), (2, LENGTH), generator=generator(0, "language/self-check"))  # type: ignore[arg-type]


def _noise(value: Tensor) -> Tensor:
    """Noise as large as the value itself, the same at every call."""
    drawn = torch.randn(value.shape, generator=generator(0, "language/self-check/noise")).to(value)
    return drawn * value.std()
