"""Silent failure: planted failures raise the flag, learners that are fine do not, and softmax attention in 64 dimensions does."""

import dataclasses
import functools

import pytest
import torch

import mesascope as ms
from mesascope.algorithms import NadarayaWatson, NearestExample, Ridge
from mesascope.algorithms.kernels import Exponential
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.behaving import silent_failure as module
from mesascope.instruments.behaving.silent_failure import INSTRUMENT, PLANTED, silent_failure
from mesascope.instruments.behaving.silent_rule import FLAG, OWN, POOLED, QUANTITIES, RANK, SPREAD
from mesascope.instruments.behaving.silent_settings import Setting, planted_failures, settings
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.models.scripted import Scripted, followed
from mesascope.report.figures import draw
from mesascope.tasks import LinearRegression
from mesascope.testing import check_instrument
from mesascope.types import Domain, Prompts

TASK = LinearRegression(dim=5, examples=20)
HIGH = LinearRegression(dim=64, examples=48, noise=0.1)
NEAR = "training, near one example"


def few(task, *names, domain=None):
    """Some of the settings, by name."""
    table = settings(dataclasses.replace(task, queries=16), domain or Domain())
    return [s for s in table if s.name in names]


def answering(name, answer):
    return Scripted(name=name, layers=1, script=lambda p: answer(p)[None])


def flags(found):
    return {m.coordinates["setting"]: m.value for m in found if m.quantity == FLAG}


@pytest.mark.parametrize("kind", range(3), ids=PLANTED)
def test_planted_failures_raise_the_flag(kind, look):
    value, _ = look
    subject = answering("planted", lambda p: planted_failures(p)[kind])
    found = silent_failure(subject, TASK, n=64, table=few(TASK, "training", NEAR))
    assert flags(found) == {"training": 0, NEAR: 1}
    assert value(found, POOLED.name, setting=NEAR).value < 0.3
    assert value(found, OWN.name, setting=NEAR).value > 0.9
    assert abs(value(found, RANK.name, setting=NEAR).value) < 0.3
    spread = value(found, SPREAD.name, setting=NEAR).value
    assert spread == pytest.approx((0.1, 1.0, 0.0)[kind], abs=0.25)
    words = value(found, FLAG, setting=NEAR).coordinates["in words"]
    assert "the order within a prompt is lost" in words
    caught, _, missed = words.partition(" would have shown it too")
    assert "own variance" in caught
    assert ("spread" in missed) == (kind == 1)  # with the right spread in the wrong order, the spread shows nothing
    assert "clearly below half" in value(found, FLAG, setting="training").coordinates["in words"]


@pytest.mark.parametrize(
    "subject",
    [
        followed("ridge", Ridge(ridge=0.01), (1,)),
        gradient_descent(layers=8),
        conjugate_gradient(),
    ],
    ids=lambda s: s.name,
)
def test_learners_that_are_fine_raise_none(subject):
    found = silent_failure(subject, TASK, n=32)
    assert set(flags(found).values()) == {0.0}
    assert len(flags(found)) == 13


@pytest.mark.parametrize("temperature", [1.0, 8.0], ids=["as it is", "over √d"])
def test_softmax_attention_fails_silently_in_64_dimensions(temperature, look):
    value, control = look
    kernel = Exponential(temperature=temperature)
    subject = followed("softmax attention", NadarayaWatson(kernel=kernel), (1,))
    found = silent_failure(subject, HIGH, n=64, table=few(HIGH, "training", NEAR))
    assert flags(found) == {"training": 0, NEAR: 1}
    assert value(found, POOLED.name, setting=NEAR).value < 0.2
    rank = value(found, RANK.name, setting=NEAR)
    assert rank.value < 0.4 < 0.75 < control(rank, "ridge")


def test_linear_attention_by_conjugate_gradient_does_not(look):
    value, control = look
    found = silent_failure(conjugate_gradient(), HIGH, n=48, table=few(HIGH, "training", NEAR))
    assert set(flags(found).values()) == {0.0}
    rank = value(found, RANK.name, setting=NEAR)
    assert rank.value == pytest.approx(control(rank, "ridge"), abs=0.05)


def test_what_nobody_can_order_is_no_fault(look):
    value, _ = look
    hopeless = Setting(name="noise", source=dataclasses.replace(TASK, noise=50.0, queries=16), near=True)
    level = answering("level", lambda p: p.targets.mean(-1, keepdim=True).expand_as(p.targets))
    found = silent_failure(level, TASK, n=32, table=[hopeless])
    [flag] = [m for m in found if m.quantity == FLAG]
    assert flag.value == 0
    assert "ridge regression finds no clear order either" in flag.coordinates["in words"]
    assert flag.coordinates["constant answers"] == 32
    assert all(c.degenerate for c in flag.controls if c.name in PLANTED)
    assert value(found, RANK.name).value == 0


def test_the_controls_are_measured_in_every_setting():
    found = silent_failure(gradient_descent(layers=2), TASK, n=48)
    assert {m.quantity for m in found} == {*(q.name for q in QUANTITIES), FLAG}
    expected = {e.control: e for e in INSTRUMENT.expected}
    checked = [c for m in found if m.quantity == FLAG for c in m.controls if c.name in expected and not c.degenerate]
    assert all(expected[c.name].holds(c.value) for c in checked)
    assert {c.name for c in checked} == set(expected)
    copies = [c for m in found if m.quantity == FLAG for c in m.controls if c.name == PLANTED[-1]]
    assert any("different nearest examples" in c.degenerate for c in copies)
    assert any(not c.degenerate for c in copies)


def test_a_few_prompts_are_no_evidence(look):
    value, _ = look
    level = answering("level", lambda p: p.targets.mean(-1, keepdim=True).expand_as(p.targets))
    for n, raised in ((1, 0), (7, 0), (32, 1)):
        flag = value(silent_failure(level, TASK, n=n, table=few(TASK, NEAR)), FLAG)
        assert flag.value == raised
        assert ("too few to judge" in flag.coordinates["in words"]) == (not raised)
        assert all(bool(c.degenerate) == (not raised) for c in flag.controls if c.name in PLANTED)


def test_prompts_that_cannot_be_judged_are_left_out_and_counted(look):
    value, _ = look
    table = few(TASK, NEAR)

    def broken(p: Prompts):
        answers = p.targets.mean(-1, keepdim=True).expand_as(p.targets).clone()
        answers[:3] = torch.nan
        return answers

    found = silent_failure(answering("broken", broken), TASK, n=32, table=table)
    flag = value(found, FLAG)
    assert (flag.value, flag.n, flag.coordinates["left out"]) == (0, 29, 3)
    assert "not finite in 3 prompts" in flag.coordinates["in words"]
    everywhere = silent_failure(answering("lost", lambda p: p.targets * torch.inf), TASK, n=8, table=table)
    assert [m.quantity for m in everywhere] == [FLAG]
    assert "not finite in 8 prompts" in everywhere[0].coordinates["in words"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Same:
    """A task that asks the same query again and again."""

    dim: int = 3
    examples: int = 9
    queries: int = 1

    def sample(self, n, *, seed, stream="sample", start=0, dtype=torch.float64):
        p = LinearRegression(dim=3, examples=9).sample(n, seed=seed, stream=stream, start=start, dtype=dtype)
        repeated = {"queries": p.queries.expand(-1, self.queries, -1), "targets": p.targets.expand(-1, self.queries)}
        return dataclasses.replace(p, **repeated, weights=None)


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(bare):
    with pytest.raises(ValueError, match="queries must be at least 3; got 1"):
        silent_failure(bare, TASK, queries=1)
    with pytest.raises(ValueError, match=r"condition must be .* 1"):
        silent_failure(bare, TASK, condition=0.5)
    with pytest.raises(NotApplicable, match="constant in every prompt"):
        silent_failure(bare, Same(), n=4)


def test_a_task_without_latent_weights_keeps_the_rest():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Bare(Same):
        def sample(self, n, **options):
            plain = LinearRegression(dim=3, examples=9, queries=self.queries).sample(n, **options)
            return dataclasses.replace(plain, weights=None)

    found = silent_failure(followed("ridge", Ridge(ridge=0.01), (1,)), Bare(), n=16)
    assert flags(found) == dict.fromkeys(["training", "half the examples", "labels of mixed sizes"], 0.0)


def test_it_is_an_instrument(task):
    measure = functools.partial(silent_failure, n=8, queries=4, table=few(task, "training", NEAR))
    check_instrument(measure, gradient_descent(layers=2), task)


def test_the_figure_has_a_point_for_each_setting_and_marks_the_region():
    nearest = followed("nearest", NearestExample(), (1,))
    found = silent_failure(nearest, TASK, n=48)
    picture = module.figure(found)
    points = [row for row in picture.rows if row["setting"] != "failure is silent"]
    assert len(points) == 13
    assert {row["queries"] for row in points if row["silent failure"]} == {"queries near one example"}
    for panel in {row["queries"] for row in points}:
        region = [row for row in picture.rows if row["queries"] == panel and row not in points]
        assert [row[POOLED.name] for row in region] == [0.0, 0.5]
        assert all(0.3 < row["high"] <= 0.5 for row in region)
    assert draw(picture)["data"]["values"]
    assert module.figure(()).rows == ()


def test_ms_has_it():
    assert ms.silent_failure is silent_failure
