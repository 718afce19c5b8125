"""What tests of the conformance suites share."""

from collections.abc import Callable

import pytest

from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.testing import Violation


@pytest.fixture
def tiny() -> Callable[..., TransformerSubject]:
    """Makes a small untrained network, with changes of its configuration."""

    def make(**changes: object) -> TransformerSubject:
        config = {"dim": 3, "examples": 10, "layers": 2, "width": 16, "heads": 2, "feedforward": 32} | changes
        return TransformerSubject(name="tiny", model=Transformer(TransformerConfig(**config), seed=3))

    return make


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
