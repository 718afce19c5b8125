"""What holds of identification as a whole: it changes nothing, and says the same again."""

import dataclasses

import pytest
import torch

from mesascope.algorithms import ConjugateGradient, GradientDescent, run
from mesascope.instruments.identification import identify, identify_path
from mesascope.instruments.identification.remainder import EXPLAINED
from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.records.codec import to_json
from mesascope.tasks import LinearRegression
from mesascope.types import Domain, Prompts

TASK = LinearRegression(dim=3, examples=9)
FEW = {"algorithms": ["gd", "cg", "ols"], "prompts": 24}


def tiny() -> TransformerSubject:
    config = TransformerConfig(dim=3, examples=9, layers=2, width=16, heads=2, feedforward=32)
    return TransformerSubject(name="tiny", model=Transformer(config, seed=0))


def test_the_same_seed_says_the_same_to_the_bit_and_another_says_so_from_other_prompts():
    first, again, other = (to_json(identify(tiny(), TASK, seed=seed, **FEW)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_subject_is_as_it_was():
    subject, sample = tiny(), TASK.sample(4, seed=5)
    before = [p.clone() for p in subject.model.parameters()]
    trace = subject.trace(sample, capture=subject.sites)
    identify(subject, TASK, **FEW)
    assert all(torch.equal(a, b) for a, b in zip(before, subject.model.parameters(), strict=True))
    after = subject.trace(sample, capture=subject.sites)
    assert torch.equal(trace.predictions, after.predictions)
    assert all(torch.equal(trace[site], after[site]) for site in subject.sites)
    assert all(p.grad is None for p in subject.model.parameters())


def test_where_prompts_lie_in_the_batch_does_not_matter(plant, monkeypatch):
    """Both halves are permuted; what is fitted and scored is the same set."""

    def scores() -> dict[str, tuple]:
        (found,) = identify_path(plant(GradientDescent(step_size=0.2)), LinearRegression(), seed=0, **FEW)
        assert found.algorithms == ("gradient-descent",)
        return {row.candidate: (row.score, *row.coefficients.items(), *row.timing.items()) for row in found.scores}

    plain, real = scores(), LinearRegression.sample

    def shuffled(self, n: int, **options) -> Prompts:
        return real(self, n, **options)[torch.randperm(n, generator=torch.Generator().manual_seed(3))]

    monkeypatch.setattr(LinearRegression, "sample", shuffled)
    for candidate, (score, *detail) in scores().items():
        assert score == pytest.approx(plain[candidate][0], abs=1e-6)
        assert [key for key, _ in detail] == [key for key, _ in plain[candidate][1:]]


def test_a_broken_invariance_rules_a_candidate_out(plant_path):
    """Gradient descent on the labels' cubes: nothing that implies homogeneity is left."""

    def cubed(prompts: Prompts) -> torch.Tensor:
        return run(GradientDescent(step_size=0.2), dataclasses.replace(prompts, ys=prompts.ys**3), 2).predictions[1:]

    verdict = identify(plant_path(path_of=cubed, layers=2), TASK, **FEW)
    path = verdict.discriminating.path
    assert path.label == "none"
    row = next(row for row in path.scores if row.candidate == "gradient-descent")
    assert "the subject breaks additive" in row.excluded or "breaks homogeneous" in row.excluded


def test_answers_that_are_not_finite_are_called_so(plant_path):
    verdict = identify(plant_path(path_of=_lost, layers=2), TASK, **FEW)
    assert verdict.label == "none"
    assert "NaN or infinity" in verdict.reason


def _lost(prompts: Prompts) -> torch.Tensor:
    return torch.full((2, *prompts.targets.shape), torch.nan, dtype=torch.float64)


@pytest.mark.parametrize(("dims", "examples"), [((3,), (2,)), ((1,), (6,)), ((2,), (5,))])
def test_small_domains_are_respected(dims, examples, plant):
    subject = plant(ConjugateGradient(), steps=(1, 2), domain=Domain(dims=dims, examples=examples))
    verdict = identify(subject, LinearRegression(dim=dims[0], examples=examples[0]), **FEW)
    assert verdict.basis == ("training" if dims == (1,) else "discriminating")
    assert (verdict.discriminating is None) == (dims == (1,))


def test_a_task_outside_the_domain_and_unknown_candidates_are_refused_at_once(plant):
    subject = plant(ConjugateGradient(), domain=Domain(dims=(4,)))
    with pytest.raises(ValueError, match="dim must be 4 for this subject; got 3"):
        identify(subject, TASK, **FEW)
    with pytest.raises(ValueError, match="algorithms must be among the candidates"):
        identify(subject, LinearRegression(dim=4), algorithms=["sorcery"])
    with pytest.raises(ValueError, match="at least one candidate"):
        identify(subject, LinearRegression(dim=4), algorithms=[])
    assert subject.calls == [0]


def test_only_one_candidate_can_still_be_none(plant):
    (found,) = identify_path(plant(ConjugateGradient()), TASK, seed=0, algorithms=["gd"], prompts=24)
    assert found.label == "none"
    assert found.remainder > EXPLAINED
