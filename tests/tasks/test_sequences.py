"""Sequences of symbols: what can be known and what cannot."""

import pytest
import torch

from mesascope.tasks import Alternation, AssociativeRecall, RepeatedBlocks, SequenceTask, simple_answers

TASKS = [
    RepeatedBlocks(length=5, repetitions=3, vocabulary=40),
    AssociativeRecall(pairs=4, vocabulary=30),
    Alternation(times=4),
]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_sample_does_not_depend_on_how_it_is_cut(task: SequenceTask) -> None:
    whole, first, rest = task.sample(7, seed=1), task.sample(3, seed=1), task.sample(4, seed=1, start=3)
    for name in ("symbols", "targets", "control_targets"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(first, name), getattr(rest, name)]))
    assert not torch.equal(whole.symbols, task.sample(7, seed=2).symbols)
    assert not torch.equal(whole.symbols, task.sample(7, seed=1, stream="other").symbols)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_what_can_be_known_is_what_followed_last_time_and_the_control_is_new(task: SequenceTask) -> None:
    s = task.sample(20, seed=0)
    assert torch.equal(simple_answers(s)["followed"], s.targets)
    for place, target in zip(s.control_at.tolist(), s.control_targets.T, strict=True):
        assert not bool((s.symbols[:, : place + 1] == target[:, None]).any())


def test_simple_rules() -> None:
    s = Alternation(times=3, vocabulary=2).sample(2, seed=0)
    a, b = s.symbols[:, 0], s.symbols[:, 1]
    assert torch.equal(s.symbols, torch.stack([a, b, a, b, a], 1))
    found = simple_answers(s)
    assert torch.equal(found["last"], torch.stack([b, b], 1))
    assert torch.equal(found["frequent"], torch.stack([a, a], 1))
    assert len(found["constant"].unique()) == 1


def test_pairs_that_are_asked_for_take_turns() -> None:
    s = AssociativeRecall(pairs=4).sample(8, seed=0)
    asked = (s.symbols[:, :-1:2] == s.symbols[:, -1:]).int().argmax(1)
    assert asked.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RepeatedBlocks(length=1), r"length must be a whole number of at least 2; got 1"),
        (lambda: RepeatedBlocks(repetitions=1), r"repetitions must be a whole number of at least 2; got 1"),
        (
            lambda: RepeatedBlocks(vocabulary=31),
            r"vocabulary must be .* at least 32; got 31\. These sequences need 32 symbols",
        ),
        (lambda: AssociativeRecall(pairs=0), r"pairs must be a whole number of at least 1; got 0"),
        (lambda: Alternation(times=1), r"times must be a whole number of at least 2; got 1"),
        (lambda: Alternation().sample(0, seed=0), r"n must be a whole number of at least 1; got 0"),
    ],
)
def test_impossible_sizes_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
