"""A language model as a subject: problems go in as text, and the answer is read from the digits' logits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.models.language.network import Network
from mesascope.models.language.passes import run, unembed
from mesascope.models.language.template import Template
from mesascope.models.language.writing import Writing, encode, example_length, layout, query_length, writing
from mesascope.records.codec import to_json
from mesascope.types import Domain, Intervention, Layout, Prompts, Site, Subject, Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LanguageSubject:
    """A causal language model that satisfies the subject protocol.

    Its answer is the expected digit: the mean of the digits, weighted by the softmax of their logits where the label would begin.
    The logits of all other tokens are left out.

    Attributes:
        name: its name in reports.
        network: the model; its weights are never changed.
        writing: how prompts are written, in its tokenizer's tokens.
        spec: where it comes from, as JSON; stored in every record.
        checkpoints: by training step, what loads the model as it was there.
    """

    name: str
    network: Network
    writing: Writing
    spec: dict[str, object] = field(default_factory=dict)
    checkpoints: Mapping[int, Callable[[], Subject]] = field(default_factory=dict)

    @property
    def domain(self) -> Domain:
        """The accepted sizes: the template's number of inputs, and as many examples as fit into the context."""
        writing = self.writing
        room = self.network.context - len(writing.begin) - len(writing.first) - query_length(writing)
        most = max(1, (room + len(writing.after)) // example_length(writing))
        return Domain(dims=(writing.template.dim,), examples=range(1, most + 1), written=True)

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.network.sites

    @property
    def path(self) -> tuple[Site, ...]:
        return tuple(site for site in self.network.sites if site.kind == "resid_post")

    @torch.no_grad()
    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the model on the prompts' text. See `mesascope.types.Subject`."""
        self.domain.check(prompts)
        tokens = encode(self.writing, prompts)
        found = run(self.network, tokens, capture=capture, interventions=interventions)
        at = self.layout(prompts.examples, prompts.queries.shape[1]).answers
        answers = self._expected(found.hidden[:, at.to(found.hidden.device)], normed=True)
        return Trace(predictions=answers, activations=found.activations)

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """The expected digit under the logit lens.

        Raises:
            ValueError: the site is not in the residual stream.
        """
        if not site.kind.startswith("resid") and site.kind != "embed":
            raise ValueError(f"site must be in the residual stream to be read out; got {site}.")
        return self._expected(activation)

    def layout(self, examples: int, queries: int) -> Layout:
        """One context, and each query a continuation of it that ends where its label would begin."""
        return layout(self.writing, examples, queries)

    def reinitialised(self, seed: int) -> "LanguageSubject":
        """The same architecture with fresh random weights, untrained, as the model's own code draws them."""
        model = self.network.model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # the code draws from the global generator
            fresh = type(model)(model.config).eval().to(self.network.device)
        network = Network(model=fresh, family=self.network.family, copied=self.network.copied)
        return LanguageSubject(name=f"{self.name}, untrained", network=network, writing=self.writing, spec=self.spec)

    def _expected(self, stream: Tensor, *, normed: bool = False) -> Float[Tensor, "batch query"]:
        writing = self.writing
        if not writing.answers:
            labels = writing.template.labels
            raise ValueError(
                f"labels must be single digits for a subject's answers; the template has {labels.lowest:g} to {labels.highest:g} "
                f"with {labels.decimals} decimals. Score whole numbers with models.language.score_numbers, or set scale and "
                "offset so that labels are written as 0 to 9."
            )
        logits = unembed(self.network, stream, torch.tensor(writing.answers), normed=normed)
        return expected_number(logits, writing)


def with_template(subject: LanguageSubject, template: Template) -> LanguageSubject:
    """The same model with prompts written in another way.

    Raises:
        ValueError: the tokenizer cannot express the template or the digits.
    """
    made = writing(template, subject.writing.tokenizer)
    return replace(subject, writing=made, spec={**subject.spec, "template": to_json(template)})


def expected_number(logits: Float[Tensor, "*any vocab"], writing: Writing) -> Float[Tensor, "*any"]:
    """The mean label under the softmax of the answers' logits, in the task's units."""
    values = torch.tensor(writing.values, dtype=logits.dtype, device=logits.device)
    return writing.template.labels.read(logits.softmax(-1) @ values)
