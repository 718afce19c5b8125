"""Subjects of a panel that has been seen, which a coarser search called none: they are found, with their coefficients."""

import pytest

from mesascope.calibration.panel import panel, planted
from mesascope.instruments.identification import identify_path

SEED = 61
MATRIX = "preconditioned-gradient-descent:fixed-matrix"


def found(index, kind, names):
    subject = planted(panel(SEED), index)
    assert subject.case.name == kind, "the kinds of this panel have changed: look for another subject of this kind"
    (answer,) = identify_path(
        subject.subject,
        subject.task,
        seed=1000 * SEED + index,
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
