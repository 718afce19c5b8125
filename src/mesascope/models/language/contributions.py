"""How much each part of a language model adds to the logits of whole numbers, exactly: the parts sum to the whole.

A number's tokens are each predicted from the stream at the position before. A token's *logit* here is counted from the mean
logit of the whole vocabulary, weighted by the model's own probabilities at that position: what raises all logits alike then
counts nothing, and numbers of different lengths can be compared. A number's logit is the sum over its tokens and the token
that ends it. The final norm's scale and the probabilities are held at what they are for the last stream, so that the logit is
linear in the stream, hence the sum of what embedding, attention and feed-forward networks add, and of a constant (the biases).

With these logits two numbers differ by their log-odds, plus the difference in the entropy of the predictions after the first
token in which the numbers differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.models.language.continuing import Continued, continued, read_before
from mesascope.models.language.held import held
from mesascope.models.language.network import Network, part
from mesascope.models.language.passes import norm_of_added, output_projection, unembed
from mesascope.models.language.subject import LanguageSubject
from mesascope.types import Intervention, Prompts, Site

Texts = Sequence[Sequence[Sequence[str]]]
"""For each prompt and each of its queries the same number of numbers, as they are written."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contributions:
    """What the parts add to the logits of whole numbers, in nats.

    Attributes:
        stream: the logits read from the stream before the first layer and after each layer; the last are the model's.
        attention, mlp: what the layers' attention and feed-forward networks add.
        heads: what the heads add; with the bias of the output projection, where there is one, they sum to ``attention``.
        constant: the part of the biases of the final norm and the unembedding; it is in ``stream`` at every layer.
        scores: the numbers' log-probabilities, their ends included.
    """

    stream: Float[Tensor, "_ batch query member"]
    attention: Float[Tensor, "layer batch query member"]
    mlp: Float[Tensor, "layer batch query member"]
    heads: Float[Tensor, "layer head batch query member"]
    constant: Float[Tensor, "batch query member"]
    scores: Float[Tensor, "batch query member"]


@torch.no_grad()
def contributions(
    subject: LanguageSubject,
    prompts: Prompts,
    numbers: Texts,
    *,
    edits: Callable[[Continued], Sequence[Intervention]] | None = None,
    batch: int = 4,
) -> Contributions:
    """What each part adds to the logits of numbers after the queries of prompts.

    Args:
        subject: the model.
        prompts: the problems.
        numbers: as `continued` takes them.
        edits: makes the interventions of a pass from what is asked in it.
        batch: prompts per pass; it changes results by rounding only.

    Raises:
        ValueError: the prompts do not fit the subject, or its logits are not linear in the normed stream (they are capped).
    """
    if getattr(subject.network.config, "final_logit_softcapping", None) is not None:
        raise ValueError(
            f"subject must have logits that are linear in its last stream; those of {subject.name} are capped. Take a model "
            "without final_logit_softcapping."
        )
    asked = (continued(subject, prompts[i : i + batch], numbers[i : i + batch]) for i in range(0, len(prompts), batch))
    found = [_of_batch(subject.network, each, edits(each) if edits else ()) for each in asked]
    along = {"stream": 1, "attention": 1, "mlp": 1, "heads": 2, "constant": 0, "scores": 0}
    return Contributions(
        **{name: torch.cat([getattr(each, name) for each in found], axis) for name, axis in along.items()}
    )


@torch.no_grad()
def scores(
    network: Network, asked: Continued, stream: Float[Tensor, "batch position width"]
) -> Float[Tensor, "batch query member"]:
    """The log-probabilities of numbers, their ends included, in nats.

    Args:
        network: the model.
        asked: the numbers.
        stream: the stream after the last layer where their tokens are predicted, as `read_before` returns it.
    """
    words = asked.words.flatten(1)
    logs = [_chosen(network, row, each)[1] for row, each in zip(stream, words, strict=True)]
    return (torch.stack(logs).view_as(asked.words) * asked.there).sum(-1)


def _of_batch(network: Network, asked: Continued, edits: Sequence[Intervention]) -> Contributions:
    layers = range(len(network.blocks))
    sites = {
        "stream": (Site(kind="embed"), *(Site(layer=i, kind="resid_post") for i in layers)),
        "attention": tuple(Site(layer=i, kind="attn_out") for i in layers),
        "mlp": tuple(Site(layer=i, kind="mlp_out") for i in layers),
        "heads": tuple(Site(layer=i, kind="z") for i in layers),
    }
    seen = read_before(network, asked, [site for group in sites.values() for site in group], edits)
    direction, constant, logs = _direction(network, seen[sites["stream"][-1]], asked)

    def summed(each: Tensor) -> Float[Tensor, "*head batch query member"]:
        """Over the tokens of each number."""
        return (each.unflatten(-1, asked.words.shape[1:]) * asked.there).sum(-1)

    def along(site: Site) -> Float[Tensor, "batch query member"]:
        return summed((seen[site].double() * direction).sum(-1))

    return Contributions(
        stream=torch.stack([along(site) for site in sites["stream"]]) + summed(constant),
        attention=torch.stack([along(site) for site in sites["attention"]]),
        mlp=torch.stack([along(site) for site in sites["mlp"]]),
        heads=torch.stack([summed(_by_head(network, i, seen[sites["heads"][i]], direction)) for i in layers]),
        constant=summed(constant),
        scores=summed(logs),
    )


def _chosen(
    network: Network, stream: Float[Tensor, "position width"], words: Int[Tensor, " position"]
) -> tuple[Float[Tensor, "position vocab"], Float[Tensor, " position"]]:
    """The probabilities of all tokens at each position, and the log-probability of one of them, the latter on the CPU."""
    logs = unembed(network, stream).log_softmax(-1)
    return logs.exp(), logs.gather(1, words.to(logs.device)[:, None])[:, 0].double().cpu()


def _direction(
    network: Network, last: Float[Tensor, "batch position width"], asked: Continued
) -> tuple[Float[Tensor, "batch position width"], Float[Tensor, "batch position"], Float[Tensor, "batch position"]]:
    """For each token the direction in the stream that its logit is along, the constant, and its log-probability."""
    layer = network.unembedding
    bias = getattr(layer, "bias", None)
    rows: Tensor = layer.weight  # type: ignore[assignment]
    words = asked.words.flatten(1)
    logs, against, offset = [], [], []
    for stream, each in zip(last, words, strict=True):  # one prompt at a time: the vocabulary is large
        chances, log = _chosen(network, stream, each)
        mine = each.to(chances.device)
        logs.append(log)
        against.append((rows[mine] - chances @ rows).double().cpu())
        offset.append(torch.zeros(len(each)) if bias is None else (bias[mine] - chances @ bias).cpu())
    norm = held(part(network.model, network.family.norm), last)
    apart = torch.stack(against)
    constant = torch.stack(offset).double() + apart @ norm.shift.cpu()
    return norm.back(apart.to(norm.scale.device)).cpu(), constant, torch.stack(logs)


def _by_head(
    network: Network,
    layer: int,
    z: Float[Tensor, "batch position head _"],
    direction: Float[Tensor, "batch position width"],
) -> Float[Tensor, "head batch position"]:
    """What each head adds along the directions, through its share of the output projection."""
    weight, bias = output_projection(network, layer)
    norm = norm_of_added(network, layer)
    weight = weight.cpu()
    if norm is not None:
        added = F.linear(z.flatten(2), weight, None if bias is None else bias.cpu())
        direction = held(norm, added.to(next(norm.parameters()).device)).back(direction)
    before = (direction @ weight.double()).unflatten(-1, z.shape[2:])
    return (before * z.double()).sum(-1).movedim(-1, 0)


__all__ = ("Contributions", "Texts", "contributions", "scores")
