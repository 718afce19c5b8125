"""Verdicts against the truth: what may be said of a planted subject, and what four of them get."""

from dataclasses import replace

import pytest

from mesascope.calibration import judging
from mesascope.calibration.cases import CASES
from mesascope.calibration.disguise import Disguised
from mesascope.calibration.drawing import Draw, Setting
from mesascope.calibration.judging import Judged, judge, outcome
from mesascope.calibration.planted import UNDESCRIBED, Planted
from mesascope.instruments.identification import identify_path
from mesascope.types import Answer, CandidateScore

GD, CG, NEWTON = "gradient-descent", "conjugate-gradient", "newton-schulz"


@pytest.mark.parametrize(
    ("truth", "answer", "expected"),
    [
        ((GD,), (GD,), "identified"),
        ((GD,), ("gradient-descent:per-prompt",), "identified"),
        ((NEWTON,), ("newton-schulz:identity", "newton-schulz:fixed"), "identified"),
        ((GD, CG), (GD,), "identified"),
        ((GD,), (GD, CG), "undecided"),
        ((GD,), (), "missed"),
        ((), (), "none"),
        ((GD, UNDESCRIBED), (), "none"),
        ((GD, UNDESCRIBED), (GD,), "identified"),
        ((GD, UNDESCRIBED), (GD, CG), "undecided"),
        ((GD, UNDESCRIBED), (CG,), "wrong"),
        ((), (GD,), "wrong"),
        ((), (GD, CG), "wrong"),
        ((GD,), (CG,), "wrong"),
        ((GD,), (CG, NEWTON), "wrong"),
        ((CG,), ("preconditioned-conjugate-gradient",), "wrong"),
        ((CG,), ("conjugate-gradient:damped",), "wrong"),
        ((CG,), (CG, "conjugate-gradient:damped"), "undecided"),
        (("conjugate-gradient:damped",), ("conjugate-gradient:damped",), "identified"),
        (("conjugate-gradient:damped",), (CG,), "wrong"),
    ],
)
def test_an_answer_is_right_undecided_missed_or_wrong(truth, answer, expected):
    assert outcome(truth, answer) == expected


def made(kind: str, steps: int = 4) -> Planted:
    """A subject of this kind, without noise."""
    case = next(case for case in CASES if case.name == kind)
    setting = Setting(
        sizes=((5, 20),), weights=("unit",), input_scale=(1.0, 1.0), steps=(steps, steps), label_noise=(0.0,)
    )
    draw = Draw(setting, 11, 0)
    clean = case.make(draw)
    return Planted(
        case=case,
        clean=clean,
        subject=Disguised(subject=clean, seed=11),
        task=draw.task,
        distribution=None if case.on is None else case.on(draw),
        settings=dict(draw.made),
    )


def judged(kind: str, steps: int = 4) -> tuple[Judged, Judged]:
    subject = made(kind, steps)
    own, withheld = judge(subject, seed=2, prompts=60)
    assert (own.case, own.truth, own.settings) == (kind, subject.case.truth, subject.settings)
    assert (own.power, own.hardest) == (withheld.power, withheld.hardest)
    assert withheld.readout == "fitted"
    for found in (own, withheld):
        assert found.outcome == outcome(subject.case.truth, found.algorithms)
        assert (found.label == "none") == (not found.algorithms)
    return own, withheld


@pytest.mark.parametrize(
    ("kind", "graded"), [("least mean squares, online", "wrong"), ("gradient descent", "undecided")]
)
def test_a_name_for_a_subject_that_runs_none_is_wrong_unless_the_two_agree(kind, graded, monkeypatch):
    """Gradient descent stands for a subject so near to it that noise hides the difference."""
    subject = replace(made(kind), case=made("least mean squares, online").case)
    named = CandidateScore(candidate=GD, score=0.9, interval=(0.8, 1.0), coefficients={}, timing={}, kept=True)
    answer = Answer(
        question="path",
        distribution="discriminating prompts",
        label="identified",
        algorithms=(GD,),
        reason="",
        readout="own",
        scores=(named,),
        controls=(),
        remainder=None,
        n=40,
    )

    def identify(*args, **options):
        return (answer,) if "readouts" in options else identify_path(*args, **options)

    monkeypatch.setattr(judging, "identify_path", identify)
    (found,) = judge(subject, seed=1, prompts=40, withheld=False)
    assert found.outcome == graded


def test_gradient_descent_is_identified_by_its_own_readout():
    own, withheld = judged("gradient descent")
    assert (own.outcome, own.label, own.algorithms, own.readout) == ("identified", "identified", (GD,), "own")
    assert own.score == pytest.approx(1, abs=1e-6)
    assert own.power is not None and own.power > 0.95
    assert withheld.outcome in ("identified", "undecided")


@pytest.mark.parametrize(("kind", "steps"), [("zeros", 4), ("ridge path", 5)])
def test_what_runs_none_is_called_none(kind, steps):
    for found in judged(kind, steps):
        assert (found.outcome, found.label, found.algorithms) == ("none", "none", ())
        assert (found.power, found.hardest) == (None, "")
        assert found.reason


def test_where_all_agree_the_truth_is_among_them():
    own, withheld = judged("gradient descent, κ = 1", steps=2)
    assert own.outcome == "undecided"
    assert own.power is not None and own.power < 0.05
    # One step is any other times a number there: a fitted readout, which may rescale, sees the second layer do nothing.
    assert (withheld.outcome, withheld.label) == ("missed", "none")
    assert "Of its 2 layers only 1 changes" in withheld.reason


def test_what_is_done_after_a_step_is_rightly_called_none():
    own, _ = judged("conjugate gradient, κ = 1", steps=2)
    assert (own.outcome, own.power) == ("none", None)
    assert "only 1 changes" in own.reason


def test_the_second_verdict_can_be_left_out():
    (alone,) = judge(made("zeros", steps=2), seed=2, prompts=20, withheld=False)
    assert (alone.readout, alone.outcome) == ("own", "none")
