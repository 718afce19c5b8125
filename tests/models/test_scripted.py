"""Scripts as subjects: what is written down is what they answer, at every layer."""

import pytest
import torch

from mesascope.algorithms import ConjugateGradient, run
from mesascope.models.scripted import Scripted, followed
from mesascope.tasks import LinearRegression
from mesascope.testing import check_subject
from mesascope.types import Intervention, Prompts, Site


def script(prompts: Prompts) -> torch.Tensor:
    base = prompts.queries.sum(-1) * prompts.ys.mean(-1, keepdim=True)
    return torch.stack([base, base.square(), base.sin()])


@pytest.fixture
def scripted() -> Scripted:
    return Scripted(name="three lines", layers=3, script=script)


@pytest.fixture
def prompts() -> Prompts:
    return LinearRegression(dim=4, examples=9, queries=6).sample(5, seed=0)


def read(subject: Scripted, prompts: Prompts) -> torch.Tensor:
    trace = subject.trace(prompts, capture=subject.path)
    rows = [subject.readout(trace[site][:, prompts.examples :], site) for site in subject.path]
    assert torch.equal(rows[-1], trace.predictions)
    return torch.stack(rows)


def test_its_answers_are_the_script(scripted, prompts):
    assert torch.equal(read(scripted, prompts), script(prompts))
    assert [site.layer for site in scripted.path] == [0, 1, 2]


def test_it_is_a_subject(scripted):
    check_subject(scripted)


def test_what_an_edit_adds_stays_to_the_end(scripted, prompts):
    def zeroed(layer: int) -> torch.Tensor:
        edit = Intervention(site=Site(layer=layer, kind="resid_post"), edit=torch.zeros_like)
        return scripted.trace(prompts, interventions=[edit]).predictions

    _, middle, last = script(prompts)
    torch.testing.assert_close(zeroed(1), last - middle)
    assert bool((zeroed(2) == 0).all())


def test_an_answer_that_is_lost_in_the_middle_is_lost_there_alone(prompts):
    def lost(p: Prompts) -> torch.Tensor:
        first, middle, last = script(p)
        return torch.stack([first, middle * float("nan"), last])

    subject = Scripted(name="lost", layers=3, script=lost)
    keep = [Intervention(site=site, edit=lambda stream: stream) for site in subject.path]
    assert torch.equal(subject.trace(prompts, interventions=keep).predictions, script(prompts)[-1])


def test_what_follows_an_algorithm_is_at_the_steps_it_is_given(prompts):
    path = run(ConjugateGradient(), prompts, 4).predictions
    subject = followed("every other", ConjugateGradient(), [0, 2, 2, 4])
    assert (subject.name, subject.layers) == ("every other", 4)
    assert torch.equal(read(subject, prompts), path[[0, 2, 2, 4]])
    assert not torch.allclose(path[2], path[4])


def test_unwritten_it_is_linear_in_the_query_and_blind_to_the_examples(scripted, prompts):
    fresh = scripted.reinitialised(3)
    rows = read(fresh, prompts)
    slopes = torch.linalg.lstsq(prompts.queries.flatten(0, 1), rows.flatten(1).T)
    assert slopes.solution.shape == (4, 3)
    torch.testing.assert_close(prompts.queries.flatten(0, 1) @ slopes.solution, rows.flatten(1).T)
    assert torch.equal(read(scripted.reinitialised(3), prompts), rows)
    assert not torch.allclose(read(scripted.reinitialised(4), prompts), rows, rtol=1e-2)
    assert "unwritten" in fresh.name
