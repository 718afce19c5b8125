"""From verdicts to a confusion matrix, shares, sentences and tables."""

import dataclasses
from typing import Literal

import pytest

from mesascope.calibration.counting import share
from mesascope.calibration.judging import Judged, outcome
from mesascope.calibration.planted import UNDESCRIBED
from mesascope.calibration.summary import (
    EVERYTHING,
    NONE,
    OWN,
    UNDECIDED,
    UNDECIDED_WRONG,
    WITHHELD,
    answered,
    by_readout,
    confusion,
    distinguishable,
    figures,
    measurements,
    sentences,
)
from mesascope.report.figures import draw
from mesascope.types import Figure, Measurement

GD, CG, HB = "gradient-descent", "conjugate-gradient", "heavy-ball"


def judged(
    truth: str, answer: tuple[str, ...], power: float | None = None, readout: Literal["own", "fitted"] = "own"
) -> Judged:
    truths = (truth,) if truth else ()
    return Judged(
        case=f"kind of {truth or 'nothing'}",
        truth=truths,
        settings={"steps": 3},
        readout=readout,
        label="none" if not answer else "identified" if len(answer) == 1 else "indistinguishable",
        algorithms=answer,
        reason=f"because of {len(answer)}",
        outcome=outcome(truths, answer),
        score=0.9,
        remainder=None,
        power=power,
        hardest=HB,
    )


OWNS = [
    *[judged(GD, (GD,), 0.99)] * 4,
    judged(GD, ("gradient-descent:per-prompt",), 0.95),
    judged(GD, (GD, HB), 0.92),
    judged(GD, (GD, HB), 0.5),
    judged(GD, (), 0.97),
    judged(GD, (GD,), 0.2),
    judged(CG, (CG,), 0.9),
    judged(CG, (HB,), 0.9),
    judged(CG, (GD, HB), 0.1),
    *[judged("", ())] * 3,
    judged("", (GD,)),
]
WITHHELDS = [judged(j.truth[0] if j.truth else "", (), j.power, "fitted") for j in OWNS]
PANEL = {OWN: OWNS, WITHHELD: WITHHELDS}


def cells(picture: Figure) -> dict[tuple[str, str], int]:
    return {(row["truth"], row["answer"]): row["subjects"] for row in picture.rows}


def of(found: tuple[Measurement, ...], quantity: str, readout: str = OWN) -> Measurement:
    return next(m for m in found if m.quantity == quantity and m.coordinates["readout"] == readout)


def test_the_matrix_counts_truth_against_answer():
    picture = confusion(OWNS, "confusion", "S", OWN)
    found = cells(picture)
    filled = {cell: count for cell, count in found.items() if count}
    assert filled == {
        (GD, GD): 6,
        (GD, UNDECIDED): 2,
        (GD, NONE): 1,
        (CG, CG): 1,
        (CG, HB): 1,
        (CG, UNDECIDED_WRONG): 1,
        (NONE, NONE): 3,
        (NONE, GD): 1,
    }
    assert sum(found.values()) == len(OWNS)
    assert {truth for truth, _ in found} == {GD, CG, NONE}
    assert {answer for _, answer in found} == {GD, CG, HB, UNDECIDED, UNDECIDED_WRONG, NONE}
    assert draw(picture)["usermeta"]["hidden"] == 0


def test_without_a_subject_of_none_the_row_is_there_and_empty():
    found = cells(confusion([judged(GD, (GD,))], "confusion", "S", OWN))
    assert found[GD, GD] == 1
    assert found[NONE, NONE] == 0


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (judged(GD, ("newton-schulz:fixed", "newton-schulz")), "newton-schulz"),
        (judged(GD, (GD, CG)), UNDECIDED),
        (judged(GD, (HB, CG)), UNDECIDED_WRONG),
        (judged("", (HB, CG)), UNDECIDED_WRONG),
        (judged(GD, ()), NONE),
        (judged("", ()), NONE),
    ],
)
def test_every_answer_has_its_column(row, column):
    assert answered(row) == column


@pytest.mark.parametrize(("power", "able"), [(None, False), (0.89, False), (0.9, True), (1.0, True)])
def test_distinguishable_is_power_of_nine_tenths(power, able):
    assert distinguishable(judged(GD, (GD,), power)) == able


@pytest.mark.parametrize(
    ("quantity", "hits", "of_them"),
    [
        ("wrong", 3, 16),
        ("distinguishable and identified", 6, 9),
        ("distinguishable and undecided", 1, 9),
        ("distinguishable and called none", 1, 9),
        ("none of these and called so", 3, 4),
        ("not distinguishable and identified rightly", 1, 3),
    ],
)
def test_shares_are_counts_with_exact_intervals(quantity, hits, of_them):
    m = of(measurements(PANEL, "mixed"), quantity)
    assert (m.value, m.interval) == share(hits, of_them)
    assert m.n == of_them


def test_controls_are_what_a_name_drawn_at_random_gets():
    found = measurements(PANEL, "mixed")
    shares = {GD: 9 / 16, CG: 3 / 16, NONE: 4 / 16}
    agree = sum(s * s for s in shares.values())
    expected = {
        "wrong": 1 - agree,
        "distinguishable and identified": agree - shares[NONE] ** 2,
        "none of these and called so": shares[NONE],
    }
    for quantity, value in expected.items():
        (control,) = of(found, quantity).controls
        assert control.kind == "negative"
        assert control.value == pytest.approx(value)


def test_where_no_candidate_describes_it_its_name_and_none_are_right():
    described, undescribed = judged(GD, (), 0.95), judged(GD, (GD,))
    undescribed = dataclasses.replace(undescribed, truth=(GD, UNDESCRIBED))
    silent = dataclasses.replace(undescribed, algorithms=(), label="none", outcome=outcome(undescribed.truth, ()))
    panel = {OWN: [described, undescribed, silent, judged("", ())]}
    filled = {cell for cell, count in cells(confusion(panel[OWN], "confusion", "S", OWN)).items() if count}
    row = f"{GD} or {NONE}"
    assert filled == {(GD, NONE), (row, GD), (row, NONE), (NONE, NONE)}
    found = measurements(panel, "mixed")
    assert of(found, "wrong").value == 0
    assert not any(m.quantity == "not distinguishable and identified rightly" for m in found)
    assert of(found, "none of these and called so").n == 1
    # Drawn at random: gradient descent three times in four, right for three; none once in four, right for three.
    assert of(found, "wrong").controls[0].value == pytest.approx(1 - (0.75 * 0.75 + 0.25 * 0.75))
    assert of(found, "distinguishable and identified").controls[0].value == pytest.approx(0.75 * 0.75)


def test_the_two_readouts_are_counted_apart():
    found = measurements(PANEL, "mixed")
    assert len(found) == 12
    assert of(found, "wrong", WITHHELD).value == 0
    assert of(found, "distinguishable and called none", WITHHELD).value == 1
    assert of(found, "none of these and called so", WITHHELD).value == 1


def test_of_a_group_that_nobody_is_in_nothing_is_said():
    found = measurements({OWN: [judged(GD, (GD,), 0.95)]}, "exact")
    assert {m.quantity for m in found} == {
        "wrong",
        *(f"distinguishable and {what}" for what in ("identified", "undecided", "called none")),
    }
    assert {m.coordinates["panel"] for m in found} == {"exact"}
    (told,) = sentences("exact subjects", found)
    assert told == (
        "Exact subjects, as they are: 0 of 1 subjects got a wrong answer (95 % interval 0.0% to 97.5%); "
        "1 of 1 of those that can be told apart were identified (2.5% to 100.0%)."
    )


def test_sentences_say_the_counts():
    own, withheld = sentences("panel S", measurements(PANEL, "mixed"))
    assert own.startswith("Panel S, as they are: 3 of 16 subjects got a wrong answer (95 % interval 4.0% to 45.6%)")
    assert "6 of 9 of those that can be told apart were identified" in own
    assert "3 of 4 of those that run none of the candidates were called so" in own
    assert withheld.startswith("Panel S, own readout withheld: 0 of 16 ")


def test_tables_list_what_is_wrong_what_is_needless_and_everybody():
    by = {picture.name.removeprefix("mixed, "): picture for picture in figures(PANEL, "mixed", "panel S")}
    assert len(by) == 6
    assert {"kinds", "wrong", "needless", "subjects"} < set(by)
    assert {picture.section for name, picture in by.items() if name != "subjects"} == {"Panel S"}
    assert by["subjects"].section == EVERYTHING
    wrong = by["wrong"].rows
    assert [row["answer"] for row in wrong] == [HB, f"{GD}, {HB}", GD]
    assert {row["outcome"] for row in wrong} == {"wrong"}
    assert {row["readout"] for row in wrong} == {OWN}
    assert wrong[0]["kind"] == f"kind of {CG}"
    assert wrong[0]["made from"] == "steps 3"
    assert wrong[0]["reason"] == "because of 1"
    needless = by["needless"].rows
    assert [row["answer"] for row in needless if row["readout"] == OWN] == [f"{GD}, {HB}", "none"]
    assert sum(row["readout"] == WITHHELD for row in needless) == 9
    assert len(by["subjects"].rows) == 2 * len(OWNS)


def test_the_table_of_kinds_counts_outcomes():
    kinds = {
        row["kind"]: row for row in next(f for f in figures(PANEL, "mixed", "panel S") if f.name == "mixed, kinds").rows
    }
    assert kinds[f"kind of {GD}"][OWN] == "6 identified, 2 undecided, 1 missed"
    assert kinds[f"kind of {GD}"][WITHHELD] == "9 missed"
    assert kinds["kind of nothing"][OWN] == "3 none, 1 wrong"
    assert kinds[f"kind of {GD}"]["distinguishable"] == 7
    assert kinds[f"kind of {CG}"]["distinguishable"] == 2


def test_a_panel_is_sorted_by_readout_and_may_have_one_alone():
    assert by_readout(list(zip(OWNS, WITHHELDS, strict=True))) == {OWN: tuple(OWNS), WITHHELD: tuple(WITHHELDS)}
    once = by_readout([(j,) for j in OWNS])
    assert once == {OWN: tuple(OWNS)}
    found = measurements(once, "mixed")
    assert found == tuple(m for m in measurements(PANEL, "mixed") if m.coordinates["readout"] == OWN)
    assert len(sentences("panel S", found)) == 1
    pictures = figures(once, "mixed", "panel S")
    assert len(pictures) == 5
    assert {row["readout"] for row in pictures[-1].rows} == {OWN}
