"""What tests of the conformance suites share."""

from collections.abc import Callable

import pytest

from mesascope.testing import Violation


@pytest.fixture
def caught() -> Callable[..., Violation]:
    """Runs a check that must find broken promises, and returns them."""

    def run(check: Callable[..., None], *args: object, **options: object) -> Violation:
        with pytest.raises(Violation) as found:
            check(*args, **options)
        return found.value

    return run


@pytest.fixture
def promises() -> Callable[[Violation], str]:
    """The words of all promises that were broken."""
    return lambda violation: "\n".join(fault.promise for fault in violation.faults)
