"""Conformance suites: checks that a member keeps the promises of its family, including members written elsewhere.

Each check is one line in a test, needs no pytest, and raises `Violation`, which lists every broken promise: what was
promised, what was observed, and how to fix it::

    from mesascope.testing import check_subject

    def test_my_model():
        check_subject(load())
"""

from mesascope.testing.algorithms import check_algorithm
from mesascope.testing.faults import Fault, Violation
from mesascope.testing.instruments import check_instrument
from mesascope.testing.regressors import check_regressor
from mesascope.testing.subjects import check_subject
from mesascope.testing.tasks import check_task

__all__ = (
    "Fault",
    "Violation",
    "check_algorithm",
    "check_instrument",
    "check_regressor",
    "check_subject",
    "check_task",
)
