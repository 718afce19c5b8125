"""Statements checked on running networks: variables are read from named channels, expressions from the layers' outputs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mesascope.models.constructions import Construction
from mesascope.theory import numeric
from mesascope.theory.running import chebyshev, one_channel, primal, several_channels, softmax, training
from mesascope.theory.running.reading import Reading, Rebuilding
from mesascope.theory.statement import Statement


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkRun:
    """A network that is run to check statements on it.

    Attributes:
        network: its description for readers.
        read: returns the readings, given a change of the network, whether to use exact fractions, and the seed.
        exact: whether the network can run on binary fractions without rounding.
    """

    network: str
    read: Callable[[Rebuilding, bool, int], Iterator[Reading]]
    exact: bool = False


RUNS = (
    NetworkRun(network="gradient descent in one channel", read=one_channel.one_channel, exact=True),
    NetworkRun(network="gradient descent in three channels", read=several_channels.several_channels, exact=True),
    NetworkRun(network="a step size for each channel", read=several_channels.per_channel, exact=True),
    NetworkRun(network="gradient descent with two outputs", read=several_channels.several_targets),
    NetworkRun(network="gradient descent under a causal mask", read=primal.causal_descent, exact=True),
    NetworkRun(network="one layer of softmax attention", read=softmax.softmax),
    NetworkRun(network="conjugate gradient", read=primal.conjugate_gradient),
    NetworkRun(network="Chebyshev iteration", read=chebyshev.polynomials),
    NetworkRun(network="a gain that is trained", read=training.gain),
)


def unchanged(construction: Construction) -> Construction:
    """The network without a change."""
    return construction


def readings(*, exact: bool, seed: int, change: Rebuilding = unchanged) -> Iterator[tuple[NetworkRun, Reading]]:
    """All readings of all networks, in float64 or in exact fractions."""
    for run in RUNS:
        if run.exact or not exact:
            yield from ((run, reading) for reading in run.read(change, exact, seed))


def networks() -> dict[str, tuple[str, ...]]:
    """By a statement's key, the networks on which it is checked."""
    found: dict[str, dict[str, None]] = {}
    for run, reading in readings(exact=False, seed=0):
        found.setdefault(reading.key, {})[run.network] = None
    return {key: tuple(names) for key, names in found.items()}


def asked(statement: Statement, reading: Reading, exact: bool) -> tuple[int, int]:
    """The number of points where the hypotheses hold, and where the statement fails, because its conclusion or a law does.

    A network computes in float64, so rounding is tolerated unless the reading is exact.
    """
    values = {**reading.values, numeric.MEASURED: reading.measured}
    slack = 0 if exact else numeric.AMPLIFIED if statement.unstable else numeric.SLACK
    assumed, violated = numeric.violations(statement, values, slack)
    for place in reading.laws:
        violated = violated | (True ^ numeric.holds(statement.hypotheses[place], values, slack))
    points = np.broadcast_arrays(np.atleast_1d(assumed), np.atleast_1d(violated))
    return int(points[0].sum()), int(points[1].sum())


__all__ = ("RUNS", "Rebuilding", "Reading", "NetworkRun", "asked", "networks", "readings", "unchanged")
