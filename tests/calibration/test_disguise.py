"""A disguise changes what a subject's stream looks like, and nothing that it does; its noise is what is said of it."""

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from mesascope.calibration.disguise import Disguised
from mesascope.models.constructions import Construction, conjugate_gradient, gradient_descent
from mesascope.models.scripted import Scripted
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.testing import check_subject
from mesascope.types import Domain, Intervention, Prompts, Site, Subject, Trace

TASK = LinearRegression(dim=4, examples=12, queries=8, inputs=Gaussian(covariance=Diagonal(condition=10.0)))
SHARE = 0.2


@pytest.fixture(scope="module")
def clean() -> Construction:
    return gradient_descent(layers=3, step_size=0.2)


@pytest.fixture(scope="module")
def plain(clean) -> Disguised:
    return Disguised(subject=clean, seed=5)


@pytest.fixture(scope="module")
def noisy(clean) -> Disguised:
    return Disguised(subject=clean, seed=5, noise=SHARE)


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return TASK.sample(20, seed=0)


def read(subject: Subject, prompts: Prompts) -> Tensor:
    """What the own readout says after every layer; at the last that is the answer."""
    trace = subject.trace(prompts, capture=subject.path)
    rows = torch.stack([subject.readout(trace[site][:, prompts.examples :], site) for site in subject.path])
    torch.testing.assert_close(rows[-1], trace.predictions, rtol=1e-9, atol=1e-9)
    return rows


def noise_of(subject: Disguised, prompts: Prompts) -> Tensor:
    """What the disguise adds, in units of its stated standard deviation: (layer, batch, query)."""
    added = read(subject, prompts) - read(subject.subject, prompts)
    return added / (subject.noise * prompts.target_variance).sqrt()[:, None]


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


# ------------------------------------------------------------------------------------------------ the stream


def test_without_noise_it_answers_as_the_subject_behind(clean, plain, prompts):
    torch.testing.assert_close(read(plain, prompts), read(clean, prompts), rtol=1e-10, atol=1e-10)
    assert torch.equal(plain.trace(prompts).predictions, clean.trace(prompts).predictions)
    assert (plain.name, plain.domain, plain.path) == (clean.name, clean.domain, clean.path)
    assert all(site.kind.startswith("resid") for site in plain.sites)


def test_it_takes_no_more_than_it_is_said_to_and_no_more_than_the_subject(clean):
    sizes = Domain(dims=(4,), examples=(12,))
    assert Disguised(subject=clean, seed=5, restricted=sizes).domain == sizes
    narrow = Disguised(subject=Disguised(subject=clean, seed=5, restricted=sizes), seed=6, restricted=Domain(dims=(7,)))
    assert narrow.domain == sizes


def test_the_stream_is_turned_and_no_channel_is_itself(clean, plain, prompts):
    site = clean.path[1]
    shown = plain.trace(prompts, capture=[site])[site].flatten(0, 1)
    behind = clean.trace(prompts, capture=[site])[site].flatten(0, 1)
    torch.testing.assert_close(shown @ shown.T, behind @ behind.T, rtol=1e-9, atol=1e-9)  # lengths and angles are kept
    apart = torch.cdist(shown.T, behind.T) / shown.norm(dim=0)[:, None]
    assert float(apart.min()) > 0.05  # no channel is one of the subject's
    other = Disguised(subject=clean, seed=6).trace(prompts, capture=[site])[site].flatten(0, 1)
    assert float((other - shown).norm() / shown.norm()) > 0.1


@pytest.mark.parametrize("layer", [0, 2])
def test_an_edit_in_turned_coordinates_does_what_it_does_behind(clean, plain, prompts, layer):
    site, others = clean.path[layer], TASK.sample(20, seed=1)

    def patched(subject: Subject) -> Tensor:
        source = subject.trace(others, capture=[site])[site]
        swap = Intervention(site=site, edit=lambda stream: 0.5 * stream + 0.5 * source)
        return subject.trace(prompts, interventions=[swap]).predictions

    torch.testing.assert_close(patched(plain), patched(clean), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(patched(plain), plain.trace(prompts).predictions, rtol=1e-2)


def test_zeroing_a_turned_channel_is_zeroing_a_direction_behind(clean, plain, prompts):
    site = clean.path[0]
    shown, behind = (s.trace(prompts, capture=[site])[site].flatten(0, 1) for s in (plain, clean))
    assert torch.linalg.matrix_rank(behind) == behind.shape[1]  # so that the turn can be solved for
    first = torch.linalg.lstsq(behind, shown).solution[:, 0]
    keep = torch.ones(shown.shape[-1], dtype=torch.float64)
    keep[0] = 0
    channel = Intervention(site=site, edit=lambda stream: stream * keep)
    seen = plain.trace(prompts, capture=[site], interventions=[channel])[site]
    assert float(seen[..., 0].abs().max()) < 1e-12
    answers = plain.trace(prompts, interventions=[channel]).predictions
    assert not torch.allclose(answers, clean.trace(prompts).predictions, rtol=1e-3)
    away = Intervention(site=site, edit=lambda stream: stream - (stream @ first)[..., None] * first)
    torch.testing.assert_close(answers, clean.trace(prompts, interventions=[away]).predictions)


@pytest.mark.parametrize("construction", [gradient_descent(layers=3), conjugate_gradient(iterations=2)])
def test_a_subject_in_disguise_is_a_subject(construction):
    check_subject(Disguised(subject=construction, seed=1))


# ------------------------------------------------------------------------------------------------ the noise


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.01, 0.2])
def test_its_variance_is_the_stated_share_of_the_targets(clean, seed, share):
    prompts = TASK.sample(400, seed=seed)
    found = noise_of(Disguised(subject=clean, seed=seed, noise=share), prompts)
    for layer in found:
        assert float(layer.square().mean()) == pytest.approx(1, abs=0.12)  # a standard error is 0.025
        assert float(layer.mean()) == pytest.approx(0, abs=0.08)
        assert kstest(layer.flatten().numpy(), "norm").pvalue > 1e-3


def test_the_same_prompts_get_the_same_noise_however_they_are_cut(noisy, prompts):
    whole = noise_of(noisy, prompts)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(noise_of(noisy, prompts), whole, rtol=0, atol=0)
    torch.testing.assert_close(noise_of(noisy, prompts[order]), whole[:, order], rtol=0, atol=1e-4)
    parts = torch.cat([noise_of(noisy, prompts[i : i + 7]) for i in range(0, 20, 7)], 1)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-4)


def test_nothing_near_is_alike():
    """A query that is moved by 2 %, another layer, another seed: unrelated noise."""
    subject = gradient_descent(layers=3, step_size=0.2)
    noisy = Disguised(subject=subject, seed=5, noise=SHARE)
    prompts = TASK.sample(400, seed=0)
    whole = noise_of(noisy, prompts)
    moved = Prompts(
        xs=prompts.xs,
        ys=prompts.ys,
        queries=1.02 * prompts.queries,
        targets=1.02 * prompts.targets,
        target_variance=prompts.target_variance,
    )
    bound = 4 / whole[0].numel() ** 0.5  # four standard errors
    for layer, elsewhere in zip(whole, noise_of(noisy, moved), strict=True):
        assert abs(correlation(layer, elsewhere)) < bound
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs(correlation(whole[first], whole[second])) < bound
        assert abs(correlation(whole[first].square(), whole[second].square())) < bound
    for layer, other in zip(whole, noise_of(Disguised(subject=subject, seed=6, noise=SHARE), prompts), strict=True):
        assert abs(correlation(layer, other)) < bound
    assert abs(correlation(whole[0, :, 0], whole[0, :, 1])) < 4 / 400**0.5  # one query and the next


def test_noise_lies_along_the_readout_and_on_the_queries_alone(plain, noisy, prompts):
    site = plain.path[1]
    added = noisy.trace(prompts, capture=[site])[site] - plain.trace(prompts, capture=[site])[site]
    assert bool((added[:, : prompts.examples] == 0).all())
    values = torch.linalg.svdvals(added[:, prompts.examples :].flatten(0, 1))
    assert float(values[1] / values[0]) < 1e-10


def test_the_pass_itself_is_left_alone(clean, noisy, prompts):
    """Noise in a layer's answer does not reach the next: an edit there sees the stream without it."""
    seen: dict[str, Tensor] = {}

    def watching(stream: Tensor) -> Tensor:
        seen["stream"] = stream
        return stream

    plain = Disguised(subject=clean, seed=5)
    site = clean.path[1]
    watched = Intervention(site=site, edit=watching)
    answers = noisy.trace(prompts, interventions=[watched]).predictions
    torch.testing.assert_close(seen["stream"], plain.trace(prompts, capture=[site])[site], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(answers, noisy.trace(prompts).predictions, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------------------------------------ its untrained control


def test_the_untrained_control_wears_the_same_disguise(clean, noisy, prompts):
    control = noisy.reinitialised(3)
    assert isinstance(control, Disguised)
    assert (control.seed, control.noise) == (noisy.seed, noisy.noise)
    bare = clean.reinitialised(3).trace(prompts).predictions
    torch.testing.assert_close(
        control.trace(prompts).predictions - bare, noisy.trace(prompts).predictions - clean.trace(prompts).predictions
    )


class Bare:
    """A subject without an untrained control."""

    name = "bare"
    domain = Domain()
    sites: tuple[Site, ...] = ()
    path: tuple[Site, ...] = ()

    def trace(self, prompts, *, capture=(), interventions=()) -> Trace:
        return Trace(predictions=torch.zeros_like(prompts.targets), activations={})

    def readout(self, activation, site) -> Tensor:
        return activation[..., 0]


def test_who_has_none_cannot_give_one():
    with pytest.raises(ValueError, match="subject must have an untrained control to be disguised; bare has none"):
        Disguised(subject=Bare(), seed=0).reinitialised(1)


def test_a_script_can_be_disguised_too(prompts):
    scripted = Scripted(name="sum", layers=2, script=lambda p: p.queries.sum(-1).expand(2, -1, -1))
    torch.testing.assert_close(read(Disguised(subject=scripted, seed=2), prompts), read(scripted, prompts))
