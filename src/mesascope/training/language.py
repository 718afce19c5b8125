"""Training of small language models: the specification, the loss of predicting the next token, and what is learnt by it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mesascope.models.language.baselines import baselines
from mesascope.models.language.pythia import PythiaConfig, pythia
from mesascope.tasks.digits import VALUES, DigitRegression
from mesascope.training.corpus import PAIR, Corpus, asked
from mesascope.training.recipe import Recipe

EVALUATED = 1024
"""Passages of the corpus that the final weights are judged on; as many prompts with a new query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageSpec(Recipe):
    """The complete specification of the training of a language model.

    Attributes:
        corpus: where the passages come from.
        model: the architecture.
        name, steps, …: as in `Recipe`.

    Raises:
        ValueError: a value out of range, or passages that do not fit into the model's context.
    """

    corpus: Corpus = field(default_factory=Corpus)
    model: PythiaConfig = field(default_factory=PythiaConfig)

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if self.corpus.length > self.model.context:
            most = (self.model.context - 1) // PAIR
            raise ValueError(
                f"corpus.pairs must fit into model.context; got {self.corpus.pairs} pairs, or {self.corpus.length} tokens, "
                f"and {self.model.context}. Take at most {most} pairs."
            )


@final
class LanguageModelling:
    """The `mesascope.training.objective.Objective` of a `LanguageSpec`: predict every token from those before it."""

    blocks = "gpt_neox.layers."

    def __init__(self, spec: LanguageSpec, device: str) -> None:
        self.spec, self.device = spec, device
        self.model = pythia(spec.model, seed=spec.seed).to(device)

    def batches(self, start: int) -> Iterator[Int[Tensor, "batch position"]]:
        spec = self.spec
        for step in range(start, spec.steps):
            drawn = spec.corpus.sample(spec.batch, seed=spec.seed, stream="train", start=step * spec.batch)
            yield drawn.to(self.device)

    def loss(self, batch: Int[Tensor, "batch position"]) -> Float[Tensor, ""]:
        logits = logits_of(self.model, batch[:, :-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    def penalty(self) -> Float[Tensor, ""] | None:
        return None

    def told(self) -> dict[str, Any]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        pass

    def evaluate(self) -> dict[str, Any]:
        return {**learnt(self.model, self.spec, device=self.device), "evaluation_prompts": EVALUATED}


def logits_of(model: nn.Module, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position vocab"]:
    """The logits after every token."""
    return model(tokens, use_cache=False).logits


@torch.no_grad()
def learnt(model: nn.Module, spec: LanguageSpec, *, device: str = "cpu") -> dict[str, float]:
    """What a model has learnt of its corpus, on passages that training never saw.

    Returns:
        ``loss``: nats per token. ``induction_accuracy``: of the tokens of a block's repetition, its first apart, the share that
        is predicted. ``new_query_accuracy`` and ``new_query_error``: for inputs that no pair shows, the share of labels that
        are predicted, and the mean squared error of the expected digit; beside the latter, that of copying the nearest
        example and of the mean label. The maps are the corpus's also where training shuffled the labels.
    """
    corpus, training = spec.corpus, model.training
    model.eval()
    passages = corpus.sample(EVALUATED, seed=spec.seed, stream="evaluation").to(device)
    logits = logits_of(model, passages[:, :-1])
    wanted = passages[:, 1:]
    repeats = corpus.repeats(EVALUATED, seed=spec.seed, stream="evaluation")[:, 1:].to(device)
    repeated = (logits.argmax(-1) == wanted)[repeats]
    task = DigitRegression(examples=corpus.pairs - 1, steepest=corpus.steepest)
    prompts = task.sample(EVALUATED, seed=spec.seed, stream="evaluation/new")
    answer = logits_of(model, asked(prompts).to(device))[:, -1].double().cpu()
    expected = answer[:, :VALUES].softmax(-1) @ torch.arange(VALUES, dtype=torch.float64)
    right = answer.argmax(-1) == prompts.targets[:, 0]
    simple = baselines(prompts)
    model.train(training)
    return {
        "loss": float(nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())),
        "induction_accuracy": float(repeated.double().mean()),
        "new_query_accuracy": float(right.double().mean()),
        "new_query_error": float((expected - prompts.targets[:, 0]).square().mean()),
        **{f"{name}_error": float((simple[name] - prompts.targets).square().mean()) for name in ("nearest", "mean")},
    }
