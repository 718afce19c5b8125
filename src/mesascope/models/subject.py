"""A trained (or untrained) transformer as a subject."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.models.taps import Taps
from mesascope.models.transformer import Transformer
from mesascope.types import Domain, Intervention, Layout, Prompts, Site, Subject, Trace, interleaved


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransformerSubject:
    """A `Transformer` that satisfies the subject protocol.

    Attributes:
        name: its name in reports.
        model: the network; its weights are never changed.
        spec: the specification that it was made from, as JSON; stored in every record.
        checkpoints: by training step, what loads the network as it was there.
    """

    name: str
    model: Transformer
    spec: dict[str, object] = field(default_factory=dict)
    checkpoints: Mapping[int, Callable[[], Subject]] = field(default_factory=dict)

    @property
    def domain(self) -> Domain:
        """The accepted sizes. Learned positions fix the query's place: only models trained everywhere can take fewer examples."""
        config = self.model.config
        fewer = config.answers == "everywhere" or not config.positions
        return Domain(dims=(config.dim,), examples=range(1, config.examples + 1) if fewer else (config.examples,))

    @property
    def answers_everywhere(self) -> bool:
        return self.model.config.answers == "everywhere"

    @property
    def sites(self) -> tuple[Site, ...]:
        kinds = ["resid_pre", "pattern", "z", "attn_out", "resid_mid", "mlp_out", "resid_post"]
        if not self.model.config.feedforward:
            kinds.remove("mlp_out")
        layers = range(self.model.config.layers)
        return (Site(kind="embed"), *(Site(layer=layer, kind=kind) for layer in layers for kind in kinds))

    @property
    def path(self) -> tuple[Site, ...]:
        return tuple(Site(layer=layer, kind="resid_post") for layer in range(self.model.config.layers))

    @torch.no_grad()
    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the model in its own precision. See `mesascope.types.Subject`."""
        self.domain.check(prompts)
        taps = Taps(self.sites, capture, interventions)
        p = self._cast(prompts)
        last = self.model.config.layers - 1
        whole = any(site.layer == last and site.kind != "resid_pre" for site in taps.wanted)
        answers = self.model(p.xs, p.ys, p.queries, touch=taps if taps.wanted else None, whole_last_layer=whole)
        taps.finish()
        return Trace(predictions=answers, activations=taps.activations)

    @torch.no_grad()
    def answer_everywhere(self, prompts: Prompts) -> Float[Tensor, "batch example"]:
        """Answers at the context's inputs, each from the examples before it (for models trained to answer everywhere)."""
        p = self._cast(prompts)
        return self.model(p.xs, p.ys, p.queries, everywhere=True)[:, : prompts.examples]

    @torch.no_grad()
    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """The model's own readout, applied to the residual stream after any sub-layer.

        The activation may have another device or precision than the model; the answers have the model's.

        Raises:
            ValueError: the site is not in the residual stream.
        """
        if not site.kind.startswith("resid") and site.kind != "embed":
            raise ValueError(f"site must be in the residual stream to be read out; got {site}.")
        return self.model.read(activation.to(self.model.unembed.weight))

    def layout(self, examples: int, queries: int) -> Layout:
        """Interleaved, or one token per example; one context per query if the context sees the query.

        A sink token is the first position of every context, and no example's.
        """
        config = self.model.config
        labels = config.tokens_per_example - 1
        return interleaved(
            examples, queries, label_tokens=labels, own_context=config.mask == "full", begin=int(config.sink)
        )

    def reinitialised(self, seed: int) -> "TransformerSubject":
        """The same architecture with fresh random weights, untrained."""
        device = next(self.model.parameters()).device
        fresh = Transformer(self.model.config, seed=seed).to(device)
        return TransformerSubject(name=f"{self.name}, untrained", model=fresh, spec=self.spec)

    def _cast(self, prompts: Prompts) -> Prompts:
        weight = self.model.unembed.weight
        return prompts.to(device=weight.device, dtype=weight.dtype)
