"""A subject beside regressors: known answers are ranked, compared and identified as they must be."""

import dataclasses
import functools

import pytest
import torch

from mesascope.instruments.regressing import beside, contest, errors, resemblance, verdicts
from mesascope.instruments.regressing.beside import beside_regressors
from mesascope.models.scripted import Scripted
from mesascope.regressors import regressor
from mesascope.studies.rules import pick
from mesascope.tasks import DATASETS
from mesascope.testing import check_instrument
from mesascope.types import Domain, Prompts

TASK = dataclasses.replace(DATASETS["friedman-2"], examples=12)
FEW = ("linear-regression", "knn-5", "knn-1-distance", "random-forest", "mean", "last")


def answering(name: str, noise: float = 0.0) -> Scripted:
    """A subject that answers as a regressor does, with errors of its own that do not come back."""

    def script(prompts: Prompts) -> torch.Tensor:
        found = regressor(name).predict(prompts, seed=1)
        rng = torch.Generator().manual_seed(int(prompts.ys[0, 0].abs() * 100) % 1000)
        return (found + noise * prompts.ys.std(1, keepdim=True) * torch.randn(found.shape, generator=rng))[None]

    return Scripted(name=name, layers=1, script=script)


MEASURE = functools.partial(beside_regressors, n=16, again=10, regressors=FEW)


@pytest.mark.parametrize("name", ["knn-5", "linear-regression", "mean", "random-forest"])
def test_a_regressor_in_disguise_is_identified(name: str) -> None:
    found = MEASURE(answering(name), TASK, seed=1)
    left = pick(found, verdicts.LEFT)
    assert (left.value, left.coordinates["label"], left.coordinates["nearest"]) == (1, "identified", name)
    assert pick(found, verdicts.SCORE, regressor=name).value == pytest.approx(1, abs=1e-5)
    nearer = {m.coordinates["regressor"]: m.value for m in found if m.quantity == verdicts.NEARER}
    assert max(nearer, key=lambda who: nearer[who]) == name and nearer[name] > 0
    assert pick(found, errors.DIFFERENCE.name, regressor=name).value == pytest.approx(0, abs=1e-3)


def test_what_is_none_of_them_is_none() -> None:
    """Support vectors are near nearest neighbours and the mean here, and leave what comes back."""
    found = MEASURE(answering("svr-scaled"), TASK, seed=1)
    left = pick(found, verdicts.LEFT)
    assert (left.value, left.coordinates["label"]) == (0, "none")
    assert pick(found, verdicts.REMAINDER).value > 0.05


def test_noise_that_does_not_come_back_hides_no_regressor() -> None:
    asked = contest.contest(
        answering("linear-regression", noise=0.3), TASK, n=64, again=64, seed=1, stream="", regressors=FEW
    )
    found = resemblance.resemblance(asked)
    assert found.best == "linear-regression" and found.label == "identified", found.reason


def test_few_prompts_cannot_tell_near_regressors_apart() -> None:
    asked = contest.contest(
        answering("knn-5", noise=0.3), TASK, n=16, again=16, seed=1, stream="", regressors=("knn-5-distance", "knn-5")
    )
    found = resemblance.resemblance(asked)
    assert found.label == "indistinguishable" and len(found.left) == 2, found.reason


def test_answers_to_other_prompts_are_none() -> None:
    def script(prompts: Prompts) -> torch.Tensor:
        return regressor("knn-5").predict(prompts).roll(1, 0)[None]

    found = MEASURE(Scripted(name="astray", layers=1, script=script), TASK, seed=0)
    assert pick(found, verdicts.LEFT).coordinates["label"] == "none"


def test_a_constant_is_like_its_answers_to_other_prompts() -> None:
    """So it is never identified; the control is the nearest regressor that depends on the prompt."""
    found = MEASURE(answering("constant"), TASK, regressors=(*FEW, "constant"))
    left = pick(found, verdicts.LEFT)
    assert (left.coordinates["label"], left.coordinates["nearest"]) == ("none", "constant")
    assert left.controls[0].name == verdicts.ITSELF and left.controls[0].value == 1


def test_no_answer_is_no_error_of_zero() -> None:
    """Half of the answers missing: errors are over the others, ranks are last, and the share is said."""
    whole = contest.contest(answering("knn-5"), TASK, n=12, again=6, seed=0, stream="", regressors=FEW)
    gone = torch.arange(12) % 2 == 0
    asked = dataclasses.replace(whole, subject=whole.subject.masked_fill(gone[:, None], torch.nan))
    assert errors.measured_unanswered(asked, "x").value == 0.5
    own = pick(errors.measured_errors(asked, "x"), errors.ERROR.name, regressor=errors.SUBJECT)
    assert own.n == 6
    expected = (whole.subject - whole.prompts.targets)[~gone].abs().mean()
    assert own.value == pytest.approx(float(expected))
    ranks = errors.ranks(errors.absolute(torch.cat([asked.subject[None], asked.others]), asked))
    assert bool((ranks[0][gone] == len(FEW) + 1).all())
    silent = dataclasses.replace(whole, subject=torch.full_like(whole.subject, torch.nan))
    assert resemblance.resemblance(silent).label == "none"
    assert errors.measured_unanswered(silent, "x").value == 1
    rows = errors.measured_errors(silent, "x")
    assert rows and all(m.coordinates["regressor"] != errors.SUBJECT for m in rows)


def test_ranks_are_the_libraries_with_ties_shared() -> None:
    values = torch.tensor([[1.0, 2.0], [1.0, 0.5], [3.0, torch.nan]])
    assert errors.ranks(values).tolist() == [[1.5, 2.0], [1.5, 1.0], [3.0, 3.0]]


def test_its_measurements_are_sound() -> None:
    subject = Scripted(name="knn", layers=1, script=lambda p: regressor("knn-5").predict(p)[None], domain=Domain())
    check_instrument(MEASURE, subject, TASK)
    drawn = beside.figure(MEASURE(subject, TASK))
    ranks = [row["mean rank"] for row in drawn.rows]
    assert len(ranks) == len(FEW) + 1 and ranks == sorted(ranks)


@pytest.mark.usefixtures("unchecked")
def test_a_data_set_of_one_example_is_refused() -> None:
    with pytest.raises(ValueError, match="task must show at least 2 examples to be regressed; got 1"):
        MEASURE(answering("mean"), dataclasses.replace(TASK, examples=1))
    with pytest.raises(ValueError, match=r"name must be that of a regressor.*got 'knn'"):
        MEASURE(answering("mean"), TASK, regressors=("knn",))
