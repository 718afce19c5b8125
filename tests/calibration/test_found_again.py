"""Subjects of a panel that has been seen, which a coarser search called none: they are found, with their coefficients."""

import pytest

from mesascope.calibration.drawing import Setting
from mesascope.calibration.panel import OTHER, Panel, planted
from mesascope.instruments.identification import identify_path

SEEN = Panel(name="seed 61", seed=61, setting=Setting())
MATRIX = "preconditioned-gradient-descent:fixed-matrix"


def found(index, kind, names, of=SEEN):
    subject = planted(of, index)
    assert subject.case.name == kind, "the kinds of this panel have changed: look for another subject of this kind"
    (answer,) = identify_path(
        subject.subject,
        subject.task,
        seed=1000 * of.seed + index,
        algorithms=names,
        prompts=100,
        distribution=subject.distribution,
    )
    return subject, answer


@pytest.mark.parametrize("index", [76, 78])
def test_a_start_that_later_steps_amplify_is_found_between_the_points_of_a_coarse_grid(index):
    subject, answer = found(index, "Newton–Schulz from cI", ["newton"])
    assert answer.algorithms == ("newton-schulz:identity",)
    assert answer.scores[0].coefficients["scale"] == pytest.approx(subject.settings["scale"], rel=2e-3)


def test_the_steps_of_a_matrix_in_the_weights_are_found_though_noise_hides_its_first_answer():
    _, answer = found(92, "gradient descent, P in the weights", ["preconditioned-gradient-descent", "gd"])
    assert answer.algorithms == (MATRIX,)
    assert answer.scores[0].steps == tuple(range(1, 11))


@pytest.mark.parametrize("index", [34, 35])
def test_a_chebyshev_iteration_for_a_narrow_interval_is_not_called_heavy_ball(index):
    """Its momentum is nearly constant and its valley narrow: from a grid alone, the search ended at gradient descent."""
    seen = Panel(name="seed 67", seed=67, setting=OTHER)
    subject, answer = found(index, "Chebyshev", ["gd", "heavy-ball", "chebyshev"], seen)
    assert answer.algorithms == ("chebyshev-iteration",)
    (row,) = (score for score in answer.scores if score.candidate == "chebyshev-iteration")
    known = subject.settings
    assert row.coefficients["largest"] == pytest.approx(known["largest"], rel=0.03)
    assert row.coefficients["condition"] == pytest.approx(known["largest"] / known["smallest"], rel=0.1)
