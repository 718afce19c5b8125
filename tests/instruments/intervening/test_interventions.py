"""Putting in another value: where it should go, whole or in part, and to the bit."""

import pytest
import torch

from mesascope.instruments.intervening.interventions import inert_sites, replace, replace_head
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.tasks import Eigenvalues, Gaussian, LinearRegression
from mesascope.types import Site, Trace

RESID = Site(layer=0, kind="resid_mid")


@pytest.fixture
def pair():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(2, 5, 3, generator=rng), torch.randn(2, 5, 3, generator=rng)


@pytest.mark.parametrize(
    ("positions", "changed"),
    [("query", [False, False, False, True, True]), ("context", [True, True, True, False, False]), ("all", [True] * 5)],
)
def test_only_the_chosen_positions_change(pair, positions, changed):
    old, new = pair
    out = replace(RESID, new, positions=positions, queries=torch.tensor([[-2], [-1]])).edit(old)
    mask = torch.tensor(changed)
    assert torch.equal(out[:, mask], new[:, mask])
    assert torch.equal(out[:, ~mask], old[:, ~mask])


def test_strength(pair):
    old, new = pair
    assert torch.equal(replace(RESID, new, strength=0.0).edit(old), old)
    assert torch.equal(replace(RESID, new).edit(old), new)
    torch.testing.assert_close(replace(RESID, new, strength=0.25).edit(old), 0.75 * old + 0.25 * new)


def test_the_value_put_in_is_a_copy(pair):
    old, new = pair
    out = replace(RESID, new).edit(old)
    out += 1
    assert not torch.equal(out, new)


def test_a_scalar_and_another_precision_will_do(pair):
    old, _ = pair
    out = replace(RESID, torch.zeros((), dtype=torch.float64)).edit(old)
    assert out.dtype == old.dtype
    assert not out.any()


def test_one_head_changes_and_the_others_do_not():
    rng = torch.Generator().manual_seed(0)
    old, new = torch.randn(2, 5, 3, 4, generator=rng), torch.randn(2, 5, 3, 4, generator=rng)
    site = Site(layer=0, kind="z")
    before = old.clone()
    out = replace_head(site, 1, new).edit(old)
    assert torch.equal(out[:, :, 1], new[:, :, 1])
    assert torch.equal(out[:, :, [0, 2]], old[:, :, [0, 2]])
    assert torch.equal(replace_head(site, 1, new, strength=0.0).edit(old), old)
    assert torch.equal(old, before)


def test_positions_of_a_pattern_are_refused():
    with pytest.raises(ValueError, match="positions must be 'all' for an attention pattern; got 'query'"):
        replace(Site(layer=0, kind="pattern"), torch.zeros(()), positions="query")


def test_heads_are_apart_at_z_only():
    with pytest.raises(ValueError, match=r"site must be a z site.*got blocks.0.hook_resid_mid"):
        replace_head(RESID, 0, torch.zeros(()))


class Deaf:
    """A subject that captures what edits return at some sites and goes on from what it had."""

    def __init__(self, subject, deaf):
        self.subject, self.deaf = subject, deaf
        self.name, self.domain, self.sites, self.path = "deaf", subject.domain, subject.sites, subject.path
        self.readout = subject.readout

    def trace(self, prompts, *, capture=(), interventions=()):
        heard = [i for i in interventions if i.site.layer not in self.deaf]
        return self.subject.trace(prompts, capture=capture, interventions=heard)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("deaf", [(), (0,), (1, 3)])
@pytest.mark.parametrize(
    "subject", [gradient_descent(layers=4), conjugate_gradient(iterations=2)], ids=lambda subject: subject.name
)
def test_sites_at_which_a_large_edit_does_nothing_are_found_in_any_unit(subject, deaf, scale):
    inputs = Gaussian(covariance=Eigenvalues(values=(scale,) * 3))
    prompts = LinearRegression(dim=3, examples=8, inputs=inputs).sample(6, seed=0)
    assert inert_sites(Deaf(subject, deaf), prompts) == tuple(subject.path[layer] for layer in deaf)


def test_an_edit_that_makes_an_answer_no_number_has_acted():
    prompts = LinearRegression(dim=3, examples=8).sample(6, seed=0)
    network = gradient_descent(layers=2)

    class Fragile(Deaf):
        def trace(self, prompts, *, capture=(), interventions=()):
            trace = super().trace(prompts, capture=capture, interventions=interventions)
            return Trace(predictions=trace.predictions * (float("nan") if interventions else 1.0), activations={})

    assert inert_sites(Fragile(network, ()), prompts) == ()
