"""Regularisers on heads, and training with dropout: definitions, gradients, members, what a run logs, what is refused."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mesascope.models import Transformer, TransformerConfig
from mesascope.records.codec import from_json, to_json
from mesascope.tasks import LinearRegression
from mesascope.training import TrainingSpec, train
from mesascope.training.batches import batches
from mesascope.training.regularisers import Regularisers, likeness_of_heads, overlap_of_heads, penalty

CONFIG = TransformerConfig(dim=4, examples=4, layers=2, width=8, heads=2, feedforward=0)
SPEC = TrainingSpec(
    name="regularised", task=LinearRegression(dim=4, examples=4), model=CONFIG, steps=4, batch=4, log_every=1,
    regularisers=Regularisers(orthogonality=0.5, diversity=2.0),
)  # fmt: skip


def weights(config: TransformerConfig = CONFIG, seed: int = 0) -> dict[str, Tensor]:
    return dict(Transformer(config, seed=seed).double().state_dict())


def test_orthogonality_is_zero_for_orthogonal_heads_and_one_for_equal_directions() -> None:
    apart, same = weights(), weights()
    for layer in range(2):
        apart[f"blocks.{layer}.attention.qkv.weight"] = torch.eye(8, dtype=torch.float64).repeat(3, 1)
        row = torch.zeros(8, 8, dtype=torch.float64)
        row[::4, 3] = 7.0  # one direction in each head; its size does not matter
        same[f"blocks.{layer}.attention.qkv.weight"] = row.repeat(3, 1)
    assert float(overlap_of_heads(apart, CONFIG)) == 0
    assert float(overlap_of_heads(same, CONFIG)) == pytest.approx(1, rel=1e-12)


def test_orthogonality_is_its_definition() -> None:
    held, terms = weights(), []
    for layer in range(2):
        for matrix in held[f"blocks.{layer}.attention.qkv.weight"].chunk(3):
            one, two = (head / head.norm() for head in matrix.chunk(2))
            terms.append(float((one @ two.T).square().sum()))
    assert float(overlap_of_heads(held, CONFIG)) == pytest.approx(sum(terms) / 6, rel=1e-12)


def test_diversity_is_zero_for_disjoint_dimensions_and_one_for_equal_heads() -> None:
    masked = dataclasses.replace(CONFIG, head_dims=((0, 1), (2, 3)))
    assert float(likeness_of_heads(weights(masked), masked)) == 0
    equal = weights()
    qkv = equal["blocks.0.attention.qkv.weight"]
    qkv[12:16] = 3 * qkv[8:12]
    assert float(likeness_of_heads(equal, CONFIG)) == pytest.approx(1, rel=1e-12)
    assert 0 < float(likeness_of_heads(weights(), CONFIG)) < 1


def test_the_gradient_is_that_of_central_differences() -> None:
    held = {name: value.requires_grad_() for name, value in weights().items()}
    keys = ("blocks.0.attention.qkv.weight", "embed.weight")

    def value(qkv: Tensor, embed: Tensor) -> Tensor:
        found = penalty({**held, keys[0]: qkv, keys[1]: embed}, CONFIG, orthogonality=0.5, diversity=2.0)
        assert found is not None
        return found

    assert torch.autograd.gradcheck(value, (held[keys[0]], held[keys[1]]), eps=1e-5, atol=1e-9, rtol=5.6e-8)


def test_members_differ_in_strength() -> None:
    held = [weights(seed=seed) for seed in range(3)]
    strengths = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    stacked = {name: torch.stack([w[name] for w in held]) for name in held[0]}
    together = penalty(stacked, CONFIG, orthogonality=strengths, diversity=2 * strengths)
    assert together is not None
    for i, (own, strength) in enumerate(zip(held, strengths.tolist(), strict=True)):
        alone = penalty(own, CONFIG, orthogonality=strength, diversity=2 * strength)
        assert float(together[i]) == pytest.approx(0.0 if alone is None else float(alone), rel=1e-12)
    assert penalty(held[0], CONFIG) is None


def test_a_run_logs_the_loss_of_the_data_and_the_penalty_apart(tmp_path: Path, metrics) -> None:  # type: ignore[no-untyped-def]
    plain = dataclasses.replace(SPEC, regularisers=Regularisers())
    lines, others = (metrics(train(s, tmp_path / str(i), progress=False)) for i, s in enumerate((SPEC, plain)))
    assert lines[0]["loss"] == others[0]["loss"]  # of the same weights and prompts: the penalty is not in it
    assert lines[-1]["loss"] != others[-1]["loss"]  # but it moved the weights
    assert all(line["penalty"] > 0 for line in lines)
    assert all("penalty" not in line for line in others)


def test_specifications_without_new_fields_are_as_they_were() -> None:
    written = to_json(dataclasses.replace(SPEC, regularisers=Regularisers()))
    assert "regularisers" not in written
    assert not {"sink", "layer_scale", "head_dims", "dropout"} & written["model"].keys()
    model = dataclasses.replace(CONFIG, sink=True, head_dims=((0,), (1, 2)), dropout=0.1, layer_scale=True)
    full = dataclasses.replace(SPEC, model=model)
    assert from_json(TrainingSpec, to_json(full), ours=True) == full
    assert from_json(TrainingSpec, written, ours=True) == dataclasses.replace(SPEC, regularisers=Regularisers())


def test_what_dropout_keeps_is_a_function_of_seed_and_step() -> None:
    spec = dataclasses.replace(SPEC, model=dataclasses.replace(CONFIG, dropout=0.3), steps=6)
    whole, resumed = [list(batches(spec, start, "cpu")) for start in (0, 3)]
    assert all(torch.equal(a.kept, b.kept) for a, b in zip(whole[3:], resumed, strict=True))
    assert not torch.equal(whole[0].kept, whole[1].kept)
    kept = torch.stack([batch.kept for batch in whole]).double()
    assert abs(float(kept.mean()) - 0.7) < 5 * (0.21 / kept.numel()) ** 0.5


@pytest.mark.usefixtures("unchecked")
def test_bad_strengths_and_models_without_pairs_of_heads_are_refused() -> None:
    for value in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"orthogonality must be a finite strength of at least 0; got .*0\.1"):
            Regularisers(orthogonality=value)
    one = dataclasses.replace(CONFIG, heads=1)
    with pytest.raises(ValueError, match=r"orthogonality needs at least two heads; got 1\. Give the model more heads"):
        dataclasses.replace(SPEC, model=one)
    with pytest.raises(ValueError, match=r"diversity needs at least two heads; got 1"):
        dataclasses.replace(SPEC, model=one, regularisers=Regularisers(diversity=1.0))
