"""What is derived from the scores of solvers, and the subjects whose solver is known."""

import math
from collections.abc import Mapping

import pytest

from mesascope.instruments.identification.following import LEFT
from mesascope.instruments.metrics.layer_by_step import AHEAD, ALL, HALF, PROGRESS, R2
from mesascope.instruments.metrics.named_solvers import CG, GD, PCG, PUBLISHED, SOLVED, SOLVERS
from mesascope.studies.bench import Bench
from mesascope.studies.conditioning import six_algorithms as study
from mesascope.studies.conditioning import six_algorithms_pictures as pictures
from mesascope.studies.conditioning import six_algorithms_printed as printed
from mesascope.studies.measure import works
from mesascope.studies.rules import pick
from mesascope.studies.study import judge, published
from mesascope.types import Control, Measurement, Scalar

NETWORK = study.MIXED.name
KNOWN = (Control(kind="negative", name="untrained network", value=0.0),)


def measured(quantity: str, value: float, **coordinates: Scalar) -> Measurement:
    place: Mapping[str, Scalar] = {"network": NETWORK, "condition": ALL, **coordinates}
    interval = (value - 0.01, value + 0.01)
    return Measurement(
        instrument="any", quantity=quantity, value=value, interval=interval, n=9, coordinates=place, controls=KNOWN
    )


@pytest.mark.parametrize(("size", "six"), [(printed.SMALL, study.SIX), (printed.LARGE, study.SIX_SCALED)])
def test_every_printed_score_is_compared_with_its_own(size, six) -> None:
    held, network = published("A"), (NETWORK if size == printed.SMALL else study.SCALED.name)
    found = [
        measured(
            R2,
            held[f"identification_weighted_r2/{size}/{printed.PRINTED[solver]}/0"] + 0.03,
            solver=solver,
            network=network,
        )
        for solver in PUBLISHED
    ]
    off = printed.beyond(six, size).of(found)
    assert [m.coordinates["solver"] for m in off] == list(PUBLISHED)
    assert all(m.value == pytest.approx(0.03) and m.interval == pytest.approx((0.02, 0.04)) for m in off)
    assert (printed.scores("small")[PCG], printed.scores("large")[GD]) == ((0.853, 0.036), (0.721, 0.059))


def test_the_gap_is_in_units_of_the_half_widths() -> None:
    found = [
        measured(R2, 0.80, solver=CG),
        measured(R2, 0.83, solver=PCG),
        measured(HALF, 0.02, solver=CG),
        measured(HALF, 0.04, solver=PCG),
    ]
    (gap,) = study._gap(found)
    assert gap.value == pytest.approx(0.5) and gap.quantity == study.GAP
    assert study._gap(found[:1]) == []


def test_what_a_solver_without_steps_scores() -> None:
    found = [measured(R2, 0.8, solver=CG), measured(R2, 0.76, solver=SOLVED)]
    (share,) = study._without_steps(found)
    assert share.value == pytest.approx(0.95)
    assert study._without_steps(found[:1]) == []


def test_a_verdict_is_right_only_with_the_right_name() -> None:
    subjects = study.BUILT
    assert set(subjects.values()) == set(study.REFERENCES)
    found = [
        measured(LEFT, 1.0, network=subject, label="identified", nearest=name) for name, subject in subjects.items()
    ]
    assert [m.value for m in study._rightly(found)] == [1.0, 1.0, 1.0]
    assert all(c.value == 0 for m in study._rightly(found) for c in m.controls)
    wrong = measured(LEFT, 1.0, network=subjects["gradient-descent"], label="identified", nearest="conjugate-gradient")
    assert [m.value for m in study._rightly([*found[:2], wrong])] == [1.0, 1.0, 0.0]


def test_the_scaled_setting_is_said_not_to_be_here_until_it_is(tmp_path, monkeypatch) -> None:
    bench = Bench(profile="laptop", seed=0, directory=tmp_path, networks=tmp_path)
    (claim,) = (c for c in study.STUDY.claims if "40 examples" in c.text)
    outcome = judge(claim, "A", [], bench)
    assert outcome.judgement == "not decidable" and "not measured here: score less the printed one" in outcome.reason
    assert len(outcome.published) == 12
    monkeypatch.setattr("mesascope.studies.bench.names", lambda: (study.MIXED.ships_as,))
    assert study._notes([], bench)[-1] == "The scaled setting is not here: no network conditioning-scaled ships."


def test_how_far_the_scaled_network_was_trained_is_said_beside_the_sources() -> None:
    curve = [{"step": 50 * i, "loss": 1.0 if i < 5 else 0.02} for i in range(15)]
    said = pictures.trained_to("conditioning-scaled", curve, 0.0251, published("A"))
    assert "training loss 0.02 (mean of the last 10 that were logged), held-out error 0.0251" in said
    assert "prints 0.0142" in said


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> list[Measurement]:
    """What is measured of planted Jacobi conjugate gradient, with few prompts."""
    nowhere = tmp_path_factory.mktemp("study")
    bench = Bench(profile="smoke", seed=0, directory=nowhere, networks=nowhere)
    (measure, _) = (m for m in study.STUDY.measures if m.label["network"] == study.STEPWISE[PCG])
    assert measure.instrument == "layer by step"
    (work,) = works(measure, bench)
    return list(work.run(lambda words: None).measurements)


def test_progress_tells_a_planted_solver_from_its_nearest_rival(planted) -> None:
    (ahead,) = (m for m in planted if m.quantity == AHEAD and m.coordinates["solver"] == PCG)
    assert ahead.interval is not None and ahead.interval[0] > 0
    own = pick(planted, PROGRESS, solver=PCG, condition=ALL).value
    others = [pick(planted, PROGRESS, solver=solver, condition=ALL).value for solver in (CG, GD, SOLVED)]
    assert own > 0.98 and own > max(others)
    assert pick(planted, R2, solver=CG, condition=ALL).value > 0.8  # the published score hardly tells them apart


def test_the_pictures_show_the_printed_scores_beside_ours(planted) -> None:
    figure = pictures.scores(planted, {CG: (0.826, 0.035)}, (study.STEPWISE[PCG],))
    of_cg = {row["of"]: row for row in figure.rows if row["solver"] == CG}
    printed = of_cg["source A"]
    assert [printed[k] for k in ("score", "low", "high")] == pytest.approx([0.826, 0.791, 0.861])
    assert set(of_cg) == {"source A", study.STEPWISE[PCG]}
    rows = pictures.progress(planted, (study.STEPWISE[PCG],)).rows
    assert len(rows) == len(SOLVERS) and all(float(row["progress"] or 0) >= pictures.FLOOR for row in rows)
    table = {
        row["solver"]: row for row in pictures.score_table(planted, {CG: (0.826, 0.035)}, {CG: (0.918, 0.009)}).rows
    }
    assert table[CG]["source A, scaled"] == 0.918
    assert list(table) == list(SOLVERS) and table[CG]["source A"] == 0.826 and table[SOLVED]["source A"] is None


@pytest.mark.parametrize(("prompts", "words"), [(21.0, "21"), (math.inf, "no number suffices")])
def test_where_no_number_of_prompts_tells_apart_it_is_said(prompts, words):
    needed = measured("prompts needed", prompts, condition=1.0, noise=0.05)
    assert f"apart: {words} at κ = 1 and noise 5%." in pictures.said([needed], ())[-1]
