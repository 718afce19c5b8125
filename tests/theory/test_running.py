"""Statements asked of networks that run: they hold of the networks as they are, and a mistake in the weights is found."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mesascope.models.constructions import Construction, Weights
from mesascope.theory import STATEMENTS, running
from mesascope.theory.checking import run_networks
from mesascope.theory.expressions import Binary, Compare, Every, Expression, Formula, NaturalPower, Sum
from mesascope.theory.outcome import ProverVerdict
from mesascope.theory.running import several_channels
from mesascope.theory.running.reading import reweighted, rewritten

BY_KEY = {statement.key: statement for statement in STATEMENTS}
UNTIED = {
    *("A3", "A4", "B5", "B6", "D3", "MN1"),  # about numbers: what uses them is tied
    *("sink_optimal", "sink_hurts", "head_doubling", "welch_floor", "welch_coherence"),  # no network here has these
    *("causal_kernel", "causal_interpolates"),  # why a construction is not built another way
    "rounding",  # the single errors cannot be read
}


def flipped(construction: Construction) -> Construction:
    """Every head writes the opposite."""
    return reweighted(construction, lambda name, value, _: -value if name.endswith("out") else value)


def weakened(construction: Construction) -> Construction:
    """Every head writes a quarter."""
    return reweighted(construction, lambda name, value, _: value / 4 if name.endswith("out") else value)


def drifting(construction: Construction) -> Construction:
    """Every head also writes on the inputs."""

    def change(name: str, value: Tensor, network: Weights) -> Tensor:
        moved = value.clone()
        if name.endswith("out"):
            moved[network.channels.slices["x"]] += 0.5
        return moved

    return reweighted(construction, change)


def scaled(construction: Construction) -> Construction:
    """In three channels, each has a gain of its own."""
    return dataclasses.replace(
        construction,
        build=lambda dim: (
            several_channels.scaled(construction) if dim == several_channels.DIM else construction
        ).build(dim),
    )


def softened(construction: Construction) -> Construction:
    """Softmax attention where linear attention should be."""
    return rewritten(construction, lambda network: dataclasses.replace(network, scores="softmax"))


MISTAKES = (flipped, weakened, drifting, scaled, softened)


@pytest.fixture(scope="module")
def right() -> dict[str, ProverVerdict]:
    return run_networks(STATEMENTS, seed=0)


@pytest.fixture(scope="module")
def wrong() -> dict[str, dict[str, ProverVerdict]]:
    return {
        mistake.__name__: run_networks(STATEMENTS, seed=0, change=mistake, fractions=mistake is scaled)
        for mistake in MISTAKES
    }


@pytest.mark.parametrize("key", BY_KEY)
def test_a_network_that_runs_satisfies_what_is_said_of_it(key: str, right: dict[str, ProverVerdict]) -> None:
    assert right[key].status == ("not tied" if key in UNTIED else "held"), right[key].detail


@pytest.mark.parametrize("seed", range(1, 4))
def test_no_prompts_refute_it_by_rounding(seed: int) -> None:
    """Where Σxy or a polynomial nearly vanishes, what is left of it is no measure of what was rounded."""
    refuted = {reading.key for _, reading in running.readings(exact=False, seed=seed) if _fails(reading)}
    assert not refuted


@pytest.mark.parametrize("key", [key for key in BY_KEY if key not in UNTIED])
def test_some_mistake_in_the_weights_breaks_it(key: str, wrong: dict[str, dict[str, ProverVerdict]]) -> None:
    assert any(said[key].status != "held" for said in wrong.values())


def test_a_sign_that_is_flipped_is_found(wrong: dict[str, dict[str, ProverVerdict]]) -> None:
    survive = {key for key, said in wrong["flipped"].items() if said.status == "held"}
    # What a weight is, what gains do whatever their sign, and what no shared gain can do, right or wrong:
    assert survive <= {"A2", "exit_band", "V1", "B4", "M3", "M3_both", "minimax", "no_single_gain", "gain_falls"}
    assert wrong["flipped"]["A1"].status == "refuted"
    assert wrong["flipped"]["A1"].detail == "by gradient descent in one channel"


def test_a_network_that_never_gets_to_where_a_statement_speaks_does_not_pass(
    wrong: dict[str, dict[str, ProverVerdict]],
) -> None:
    assert wrong["flipped"]["C1"].status == "undecided"  # an error that only grows has no rate below 1


def test_exact_points_are_asked_without_any_slack(
    right: dict[str, ProverVerdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    tied = [key for key, said in right.items() if said.status == "held" and " 0 exact" not in said.detail]
    assert len(tied) > 40

    def nudged(construction: Construction) -> Construction:  # less than float64 forgives
        factor = 1 + torch.finfo(torch.float64).eps
        return reweighted(construction, lambda name, value, _: value * factor if name.endswith("out") else value)

    exact, rounded = (
        sum(running.asked(BY_KEY["A1"], reading, exact=exact)[1] for _, reading in _of("A1", exact, nudged))
        for exact in (True, False)
    )
    assert exact > 0 and rounded == 0


def test_what_is_measured_is_in_the_statement() -> None:
    for _, reading in running.readings(exact=False, seed=0):
        statement = BY_KEY[reading.key]
        inside = {part for formula in (*statement.hypotheses, statement.conclusion) for part in _expressions(formula)}
        assert set(reading.measured) <= inside, reading.key
        assert {v.name for v in statement.variables} <= set(reading.values), reading.key
        assert all(place < len(statement.hypotheses) for place in reading.laws)


def _fails(reading: running.Reading) -> bool:
    return running.asked(BY_KEY[reading.key], reading, exact=False)[1] > 0


def _of(key: str, exact: bool, change: running.Rebuilding) -> Iterator[tuple[running.NetworkRun, running.Reading]]:
    return (pair for pair in running.readings(exact=exact, seed=0, change=change) if pair[1].key == key)


def _expressions(tree: Formula | Expression) -> Iterator[Expression]:
    if isinstance(tree, Expression):
        yield tree
    for below in {
        Binary: ("left", "right"),
        Compare: ("left", "right"),
        NaturalPower: ("base",),
        Sum: ("term",),
        Every: ("formula",),
    }.get(type(tree), ()):
        yield from _expressions(getattr(tree, below))
    for formula in getattr(tree, "formulas", ()):
        yield from _expressions(formula)
