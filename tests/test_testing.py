"""The conformance suites: every member passes, and a member that breaks a promise is told which."""

import dataclasses
import functools
import inspect
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from mesascope import tasks
from mesascope.algorithms import (
    ALL,
    Algorithm,
    ConjugateGradient,
    GradientDescent,
    HeavyBall,
    KernelRidge,
    NewtonSchulz,
    PreconditionedGradientDescent,
    State,
)
from mesascope.instruments import NotApplicable
from mesascope.instruments.behaving import stress
from mesascope.instruments.catalogue import BY_NAME, INSTRUMENTS
from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.models.constructions import CONSTRUCTIONS, gradient_descent
from mesascope.models.taps import Taps
from mesascope.tasks import LinearRegression
from mesascope.testing import Violation, check_algorithm, check_instrument, check_subject, check_task
from mesascope.types import Control, Domain, Measurement, Site, Status, Trace

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def caught(check, *args, **options) -> Violation:
    with pytest.raises(Violation) as found:
        check(*args, **options)
    return found.value


def promises(violation: Violation) -> str:
    return "\n".join(fault.promise for fault in violation.faults)


# --------------------------------------------------------------------------------------------- members: subjects


def tiny(**changes) -> TransformerSubject:
    config = {"dim": 3, "examples": 10, "layers": 2, "width": 16, "heads": 2, "feedforward": 32} | changes
    return TransformerSubject(name="tiny", model=Transformer(TransformerConfig(**config), seed=3))


def built(name):
    """A construction with as few layers as tell something."""
    options = inspect.signature(CONSTRUCTIONS[name]).parameters
    return CONSTRUCTIONS[name](
        **{option: 2 for option in ("layers", "iterations", "steps", "inner") if option in options}
    )


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_constructions_are_subjects(name):
    check_subject(built(name))


def test_so_is_one_with_random_weights():
    check_subject(built("conjugate-gradient").reinitialised(7))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"answers": "everywhere"},
        {"tokens": "pairs", "mask": "full"},
        {"mask": "prefix", "positions": False, "attention": "linear", "norm": False},
        {"feedforward": 0, "final_norm": True},
        {"layers": 1, "dim": 1, "examples": 1},
    ],
    ids=str,
)
def test_transformers_are_subjects(changes):
    check_subject(tiny(**changes))


def test_a_task_of_ones_own_is_used():
    check_subject(tiny(), LinearRegression(dim=3, examples=10, inputs=tasks.Rademacher()), seed=4)


def test_a_task_outside_the_domain_is_the_callers_mistake():
    with pytest.raises(ValueError, match="dim must be 3"):
        check_subject(tiny(), LinearRegression(dim=4, examples=10))


def test_the_documented_model_keeps_the_promises(tmp_path, monkeypatch):
    """The very files that the page on a model of one's own shows, with a network that was not trained."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    from my_model import MyNetwork, load

    torch.save(MyNetwork().state_dict(), "my_network.pt")
    check_subject(load())


# --------------------------------------------------------------------------------------------- broken subjects


class Honest:
    """Two layers of attention over the examples, in double precision. Every broken subject changes one thing in it."""

    name = "honest"
    domain = Domain(dims=(3,), examples=range(4, 9))
    sites = tuple(Site(layer=layer, kind=kind) for layer in range(2) for kind in ("attn_out", "resid_post"))
    path = sites[1::2]
    answers_everywhere = True

    def __init__(self, seed: int = 0):
        self.network = nn.Linear(5, 5).double()
        with torch.no_grad():
            for i, parameter in enumerate(self.network.parameters()):
                numbers = torch.Generator().manual_seed(2 * seed + i)
                parameter.copy_(torch.randn(parameter.shape, generator=numbers, dtype=torch.float64) / 3)

    @torch.no_grad()
    def trace(self, prompts, *, capture=(), interventions=()):
        self.domain.check(prompts)
        taps = Taps(self.sites, capture, interventions)
        stream = self.embed(prompts.to(dtype=torch.float64))
        for layer in range(2):
            attended = taps(self.sites[2 * layer], self.attend(stream, prompts.examples))
            stream = taps(self.path[layer], self.add(stream, attended))
        taps.finish()
        count = prompts.queries.shape[1]
        return Trace(predictions=self.readout(stream[:, -count:], self.path[-1]), activations=taps.activations)

    def embed(self, prompts):
        shown = torch.cat([prompts.xs, prompts.ys[..., None], torch.ones_like(prompts.ys)[..., None]], -1)
        return torch.cat([shown, nn.functional.pad(prompts.queries, (0, 2))], 1)

    def attend(self, stream, examples):
        shown = stream[:, :examples]
        return torch.tanh(self.network(stream) @ shown.mT) @ shown / examples

    def add(self, stream, attended):
        return stream + attended

    @torch.no_grad()
    def readout(self, activation, site):
        return activation[..., 3] + activation[..., 0] / 2

    def reinitialised(self, seed):
        return type(self)(seed + 1)

    def answer_everywhere(self, prompts):
        answers = [torch.zeros(len(prompts), dtype=torch.float64)]
        for shown in range(1, prompts.examples):
            cut = {"queries": prompts.xs[:, shown : shown + 1], "targets": prompts.ys[:, shown : shown + 1]}
            prefix = dataclasses.replace(prompts, xs=prompts.xs[:, :shown], ys=prompts.ys[:, :shown], **cut)
            answers.append(self.unlimited().trace(prefix).predictions[:, 0])
        return torch.stack(answers, 1)

    def unlimited(self):
        free = object.__new__(Honest)
        free.__dict__ |= {**self.__dict__, "domain": Domain()}
        return free


def test_the_honest_subject_passes():
    check_subject(Honest())
    check_subject(Honest(), LinearRegression(dim=3, examples=8), seed=1)


BROKEN = {}


def breaks(promise):
    """Enters a class of broken subjects, with words of the promise that it breaks."""

    def enter(cls):
        assert cls.__name__ not in BROKEN
        BROKEN[cls.__name__] = (cls, promise)
        return cls

    return enter


class Followed(Honest):
    """An honest subject that says its step, and has one checkpoint."""

    spec: ClassVar = {"step": 4}

    @property
    def checkpoints(self):
        return {2: lambda: type(self)(7)}


def test_a_subject_with_checkpoints_keeps_its_promises():
    check_subject(Followed())


@breaks("checkpoints maps steps of the training")
class FollowedFromNowhere(Followed):
    spec: ClassVar = {}


@breaks("checkpoints maps steps of the training")
class FollowedAfterItsEnd(Followed):
    spec: ClassVar = {"step": 1}


@breaks("checkpoints maps steps of the training")
class FollowedElsewhere(Followed):
    @property
    def checkpoints(self):
        other = type(self)(7)
        other.path = other.path[:1]
        return {2: lambda: other}


@breaks("checkpoints maps steps of the training")
class FollowedInVain(Followed):
    @property
    def checkpoints(self):
        return {2: lambda: None}


@breaks("a subject has name, domain, sites")
class WithoutReadout(Honest):
    @property
    def readout(self):
        raise AttributeError("gone")


@breaks("a subject has name, domain, sites")
class TraceIsNoMethod(Honest):
    trace = 3


@breaks("name is a text")
class Nameless(Honest):
    name = ""


@breaks("domain is a Domain")
class DomainAsNumbers(Honest):
    domain = (3, 8)


@breaks("sites is a tuple of Sites")
class SitesAsText(Honest):
    sites = ("blocks.0.hook_resid_post",)


@breaks("sites names every site once")
class SitesTwice(Honest):
    sites = (*Honest.sites, Honest.sites[0])


@breaks("path lists sites of the residual stream")
class PathElsewhere(Honest):
    path = (Honest.sites[0], Honest.sites[2])


@breaks("path lists sites of the residual stream")
class PathUnordered(Honest):
    path = Honest.path[::-1]

    def trace(self, prompts, *, capture=(), interventions=()):
        return Honest().trace(prompts, capture=capture, interventions=interventions)


@breaks("path lists sites of the residual stream")
class PathUnlisted(Honest):
    sites = (Honest.sites[0],)


@breaks("spec, if there is one")
class SpecOfTensors(Honest):
    spec = {"weights": torch.zeros(2)}  # noqa: RUF012


@breaks("one finite answer per query")
class WrongShape(Honest):
    def readout(self, activation, site):
        return super().readout(activation, site)[:, :1]


@breaks("one finite answer per query")
class NotFinite(Honest):
    def readout(self, activation, site):
        return super().readout(activation, site) / 0


@breaks("one finite answer per query")
class WholeNumbers(Honest):
    def readout(self, activation, site):
        return super().readout(activation, site).long()


@breaks("one finite answer per query")
class OnlySinglePrecision(Honest):
    def embed(self, prompts):
        return super().embed(prompts).float()


@breaks("one finite answer per query")
class WithGradients(Honest):
    trace = Honest.trace.__wrapped__

    def readout(self, activation, site):
        return Honest.readout.__wrapped__(self, activation, site)


@breaks("one finite answer per query")
class ReturnsATensor(Honest):
    def trace(self, prompts, **options):
        return super().trace(prompts, **options).predictions


@breaks("the same prompts get the same answers")
class Dropout(Honest):
    def attend(self, stream, examples):
        return nn.functional.dropout(super().attend(stream, examples), 0.1)


@breaks("answers depend only on xs, ys and queries")
class Peeks(Honest):
    def embed(self, prompts):
        stream = super().embed(prompts)
        stream[:, -prompts.queries.shape[1] :, 3] = prompts.targets
        return stream


@breaks("prompts in single and double precision are accepted")
class OnlyDoublePrecision(Honest):
    def embed(self, prompts):
        return super().embed(prompts)

    def trace(self, prompts, **options):
        self.network(prompts.xs.new_zeros(5))
        return super().trace(prompts, **options)


@breaks("a trace does not change the prompts")
class WritesIntoPrompts(Honest):
    def embed(self, prompts):
        stream = super().embed(prompts)
        prompts.ys.mul_(0)
        return stream


@breaks("an answer does not depend on the other prompts")
class BatchNorm(Honest):
    def attend(self, stream, examples):
        return super().attend(stream, examples) - stream.mean(0, keepdim=True)


@breaks("an answer does not depend on the other prompts")
class ByPlaceInTheBatch(Honest):
    def embed(self, prompts):
        return super().embed(prompts) * (1 + torch.arange(len(prompts))[:, None, None])


@breaks("never from another query")
class QueriesSeeEachOther(Honest):
    def attend(self, stream, examples):
        return super().attend(stream, stream.shape[1])


@breaks("never from another query")
class QueriesHavePlaces(Honest):
    def embed(self, prompts):
        stream = super().embed(prompts)
        return stream + torch.arange(stream.shape[1])[:, None] / 10


@breaks("every site in sites can be captured")
class ListsTooMuch(Honest):
    sites = (*Honest.sites, Site(layer=0, kind="mlp_out"))


@breaks("every site in sites can be captured")
class CapturesNothingThere(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        kept = [site for site in capture if site.kind != "attn_out"]
        return super().trace(prompts, capture=kept, interventions=interventions)


@breaks("activations have their kind's axes")
class PositionsFirst(Honest):
    def trace(self, prompts, **options):
        trace = super().trace(prompts, **options)
        return Trace(predictions=trace.predictions, activations={s: v.mT for s, v in trace.activations.items()})


@breaks("activations have their kind's axes")
class QueriesFirst(Honest):
    def trace(self, prompts, **options):
        trace = super().trace(prompts, **options)
        flipped = {s: v.flip(1) for s, v in trace.activations.items()}
        return Trace(predictions=trace.predictions, activations=flipped)


class Showing(Honest):
    """Shows something else than what it computes."""

    def trace(self, prompts, **options):
        trace = super().trace(prompts, **options)
        shown = {site: self.show(site, value) for site, value in trace.activations.items()}
        return Trace(predictions=trace.predictions, activations=shown)


@breaks("every site in sites can be captured")
class ShowsMore(Showing):
    def trace(self, prompts, **options):
        trace = super().trace(prompts, **options)
        more = {Site(layer=0, kind="z"): torch.zeros(len(prompts), 9, 1, 5)} if trace.activations else {}
        return Trace(predictions=trace.predictions, activations={**trace.activations, **more})

    def show(self, site, value):
        return value


@breaks("activations have their kind's axes")
class ShowsAnAxisLess(Showing):
    def show(self, site, value):
        return value.mean(-1)


@breaks("activations have their kind's axes")
class ShowsTooFewPositions(Showing):
    def show(self, site, value):
        return value[:, -1:]


@breaks("activations have their kind's axes")
class ShowsOtherPositionsAtOtherSites(Showing):
    def show(self, site, value):
        return value[:, -3:] if site.kind == "attn_out" else value


@breaks("activations have their kind's axes")
class ShowsWholeNumbers(Showing):
    def show(self, site, value):
        return value.long() if site.kind == "attn_out" else value


@breaks("activations have their kind's axes")
class ShowsInfinity(Showing):
    def show(self, site, value):
        return value / 0 if site.kind == "attn_out" else value


@breaks("readout accepts the activation of any site of path")
class ReadoutOfOneQuery(Honest):
    def readout(self, activation, site):
        answers = super().readout(activation, site)
        return answers if site == self.path[-1] else answers[:, :1]


@breaks("capturing changes nothing")
class CapturingRounds(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        trace = super().trace(prompts, capture=capture, interventions=interventions)
        return dataclasses.replace(trace, predictions=trace.predictions * (1 + 0.01 * len(capture)))


@breaks("captured alone")
class CapturesHalfWhenAlone(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        trace = super().trace(prompts, capture=capture, interventions=interventions)
        if len(capture) > 1 or interventions:
            return trace
        return dataclasses.replace(trace, activations={s: v * 1.01 for s, v in trace.activations.items()})


@breaks("an intervention runs once")
class CapturesWhatIsWrittenLater(Honest):
    def add(self, stream, attended):
        return attended.add_(stream)


@breaks("an intervention runs once")
class EditsTwice(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        return super().trace(prompts, capture=capture, interventions=[*interventions, *interventions])


@breaks("an intervention runs once")
class EditsInReverse(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        return super().trace(prompts, capture=capture, interventions=interventions[::-1])


@breaks("an intervention runs once")
class NeverEdits(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        for intervention in interventions:
            if intervention.site.layer > 1:
                raise ValueError("unknown site")
        return super().trace(prompts, capture=capture)


@breaks("an intervention of strength zero changes nothing")
class EditsAreNoisy(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        trace = super().trace(prompts, capture=capture, interventions=interventions)
        return dataclasses.replace(trace, predictions=trace.predictions + 0.1 * len(interventions))


@breaks("an intervention takes effect")
class EditsACopy(Honest):
    """The hooks run, and what they return is captured and thrown away."""

    def trace(self, prompts, *, capture=(), interventions=()):
        trace = super().trace(prompts, capture=capture, interventions=interventions)
        return dataclasses.replace(trace, predictions=super().trace(prompts).predictions)


@breaks("an intervention takes effect")
class EditsTheLastSiteOnly(Honest):
    """What is put in further up is captured, and then the pass goes on from what it had computed before."""

    def trace(self, prompts, *, capture=(), interventions=()):
        shown = super().trace(prompts, capture=capture, interventions=interventions)
        last = [i for i in interventions if i.site == self.path[-1]]
        return dataclasses.replace(shown, predictions=super().trace(prompts, interventions=last).predictions)


@breaks("an intervention takes effect")
class WritesIntoWhatEditsReturn(Honest):
    def readout(self, activation, site):
        answers = super().readout(activation.clone(), site)
        if activation._base is not None:
            activation._base.add_(1)
        return answers


@breaks("a site that the subject does not have raises ValueError")
class AcceptsAnySite(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        known = [site for site in capture if site in self.sites]
        edits = [i for i in interventions if i.site in self.sites]
        return super().trace(prompts, capture=known, interventions=edits)


@breaks("a site that the subject does not have raises ValueError")
class KeyErrors(Honest):
    def trace(self, prompts, **options):
        try:
            return super().trace(prompts, **options)
        except ValueError as error:
            raise KeyError(str(error)) from None


@breaks("an edit's error is passed on")
class Swallows(Honest):
    def trace(self, prompts, *, capture=(), interventions=()):
        self.domain.check(prompts)
        try:
            return super().trace(prompts, capture=capture, interventions=interventions)
        except ValueError:
            raise
        except Exception:
            return super().trace(prompts)


@breaks("an edit's error is passed on")
class Wraps(Honest):
    def trace(self, prompts, **options):
        try:
            return super().trace(prompts, **options)
        except ValueError:
            raise
        except Exception as error:
            raise RuntimeError("the pass failed") from error


@breaks("an edit's error is passed on")
class LeavesEditsBehind(Honest):
    """What registers hooks, runs, and takes them away, but for the case that running fails."""

    left = ()

    def trace(self, prompts, *, capture=(), interventions=()):
        self.domain.check(prompts)
        self.left = (*self.left, *interventions)
        trace = super().trace(prompts, capture=capture, interventions=self.left)
        self.left = ()
        return trace


@breaks("readout at the last site of path gives the predictions")
class AnotherReadout(Honest):
    def trace(self, prompts, **options):
        trace = super().trace(prompts, **options)
        return dataclasses.replace(trace, predictions=2 * trace.predictions)


@breaks("readout accepts the activation of any site of path")
class ReadoutOfTheLastAlone(Honest):
    def readout(self, activation, site):
        if site != self.path[-1]:
            raise KeyError(site)
        return super().readout(activation, site)


@breaks("readout accepts the activation of any site of path")
class ReadoutWrites(Honest):
    def readout(self, activation, site):
        answers = super().readout(activation, site)
        activation.zero_()
        return answers


@breaks("every problem inside the domain is accepted")
class DomainTooWide(Honest):
    domain = Domain(dims=(3,), examples=range(4, 12))

    def embed(self, prompts):
        if prompts.examples < 5:
            raise IndexError("no position for this example")
        return super().embed(prompts)


@breaks("a problem outside the domain raises ValueError")
class TakesAnything(Honest):
    def trace(self, prompts, **options):
        return self.unlimited().trace(prompts, **options) if prompts.dim == 3 else super().trace(prompts, **options)


@breaks("a problem outside the domain raises ValueError")
class AnotherErrorOutside(Honest):
    def trace(self, prompts, **options):
        if prompts.dim != 3:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return super().trace(prompts, **options)


@breaks("answer_everywhere answers each input")
class AnswersFromLaterLabels(Honest):
    def answer_everywhere(self, prompts):
        return super().answer_everywhere(prompts) + prompts.ys.mean(-1, keepdim=True)


@breaks("answer_everywhere answers each input")
class AnswersSomethingElse(Honest):
    def answer_everywhere(self, prompts):
        return super().answer_everywhere(prompts) * 2


@breaks("answer_everywhere answers each input")
class AnswersTooFew(Honest):
    def answer_everywhere(self, prompts):
        return super().answer_everywhere(prompts)[:, 1:]


@breaks("answer_everywhere answers each input")
class AnswersNowhere(Honest):
    @property
    def answer_everywhere(self):
        raise AttributeError("there is no such method")


@breaks("reinitialised(seed) gives the same architecture")
class ReinitialisedAtRandom(Honest):
    def reinitialised(self, seed):
        return type(self)(seed + int(torch.randint(1000, ())))


@breaks("reinitialised(seed) gives the same architecture")
class NeverReinitialised(Honest):
    def reinitialised(self, seed):
        return self


@breaks("reinitialised(seed) gives the same architecture")
class ReinitialisedElsewhere(Honest):
    def reinitialised(self, seed):
        other = type(self)(seed + 1)
        other.path = other.path[:1]
        return other


@breaks("an examination does not change the subject")
class Reweighs(Honest):
    def reinitialised(self, seed):
        other = type(self)(seed + 1)
        with torch.no_grad():
            self.network.bias.add_(1)
        return other


@breaks("an examination does not change the subject")
class LeavesHooks(Honest):
    def trace(self, prompts, **options):
        self.network.register_forward_hook(lambda *_: None)
        return super().trace(prompts, **options)


@breaks("an examination does not change the subject")
class ForgetsEvaluationMode(Honest):
    def trace(self, prompts, **options):
        self.network.train(not self.network.training)
        return super().trace(prompts, **options)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_subject_is_told_which_promise_it_breaks(name, unchecked):
    subject, promise = BROKEN[name]
    with torch.random.fork_rng(devices=[]):
        violation = caught(check_subject, subject())
    where = str(violation) if promise == "captured alone" else promises(violation)
    assert promise in where
    assert all(fault.observed and fault.remedy for fault in violation.faults)


def test_the_sites_at_which_edits_do_nothing_are_named(unchecked):
    subject = EditsTheLastSiteOnly()
    violation = caught(check_subject, subject)
    [fault] = [fault for fault in violation.faults if fault.promise == "an intervention takes effect"]
    assert fault.observed == (f"a large edit at {subject.path[0]} does not change the predictions",)


def test_all_that_is_broken_is_said_at_once(unchecked):
    class Several(QueriesHavePlaces, AcceptsAnySite, NeverReinitialised):
        pass

    violation = caught(check_subject, Several())
    for promise in ("never from another query", "a site that the subject does not have", "reinitialised(seed)"):
        assert promise in promises(violation)
    text = str(violation)
    assert f"honest breaks {len(violation.faults)} promises of a subject:" in text
    assert text.count("promised:") == text.count("observed:") == text.count("remedy:") == len(violation.faults)


def test_the_cause_is_kept(unchecked):
    violation = caught(check_subject, OnlySinglePrecision())
    assert isinstance(violation.__cause__, RuntimeError)
    assert "dtype" in str(violation)


def test_a_subject_that_shows_nothing_can_keep_its_promises():
    class BlackBox:
        name, domain, sites, path = "black box", Domain(), (), ()

        def trace(self, prompts, *, capture=(), interventions=()):
            Taps((), capture, interventions)
            return Trace(predictions=0 * prompts.queries[..., 0], activations={})

        def readout(self, activation, site):
            return activation[..., 0]

    check_subject(BlackBox())


# --------------------------------------------------------------------------------------------- algorithms

MATRIX = torch.diag(torch.tensor([0.2, 1.0, 0.5, 0.3], dtype=torch.float64))


@pytest.mark.parametrize("member", ALL, ids=lambda m: m.name)
def test_every_algorithm_keeps_its_promises(member):
    check_algorithm(member)


@pytest.mark.parametrize(
    "member",
    [
        GradientDescent(step_size=0.1),
        HeavyBall(step_size=0.1, momentum=0.3),
        NewtonSchulz(start="identity"),
        KernelRidge(ridge=0.0),
        PreconditionedGradientDescent(step_size=0.1, preconditioner=MATRIX),
    ],
    ids=lambda m: m.name,
)
def test_configured_algorithms_keep_their_promises(member):
    check_algorithm(member)


@pytest.mark.parametrize(("dim", "examples"), [(1, 5), (6, 30)])
def test_algorithms_are_checked_on_a_task_of_ones_own(dim, examples):
    check_algorithm(ConjugateGradient, LinearRegression(dim=dim, examples=examples, noise=0.1), seed=5)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Counting(State):
    steps: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Descent(Algorithm):
    """Gradient descent. Every broken algorithm changes one thing in it."""

    name = "descent"
    implies = frozenset({"additive", "homogeneous", "rotation", "permutation"})

    def init(self, problem):
        return self.state(problem, torch.zeros_like(problem.moment), 0)

    def step(self, problem, state):
        gradient = problem.apply(state.weights) - problem.moment
        return self.state(problem, self.move(problem, state.weights, gradient, state.steps), state.steps + 1)

    def move(self, problem, weights, gradient, steps):
        return weights - 0.1 * gradient

    def state(self, problem, weights, steps):
        status = torch.zeros(len(problem), dtype=torch.long)
        return Counting(status=status, weights=weights, steps=steps)


def member(**changes):
    """A broken descent: a frozen dataclass with other methods."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(type("Broken", (Descent,), changes))


def own(move):
    return member(move=move)


class Plain(Descent):
    pass


def remembers():
    calls = []

    def move(self, problem, weights, gradient, steps):
        calls.append(0)
        return weights - 0.001 * len(calls) * gradient

    return own(move)


def writes(self, problem):
    problem.ys.add_(1)
    return Descent.init(self, problem)


def picky(self, problem, weights, gradient, steps):
    # Cholesky raises for the whole batch where one prompt is singular.
    return torch.cholesky_solve(problem.moment[..., None], torch.linalg.cholesky(problem.gram))[..., 0]


def restless(self, problem, weights, steps):
    stopped = torch.full((len(problem),), int(Status.DIVERGED if steps == 2 else Status.OK))
    return Counting(status=stopped, weights=weights, steps=steps)


def unheard_of(self, problem, weights, steps):
    return Counting(status=torch.full((len(problem),), 9), weights=weights, steps=steps)


def centred(self, problem, state):
    """The first step of descent, its answers less their mean over a prompt's queries."""
    found = (problem.queries @ problem.moment[..., None])[..., 0]
    return Counting(status=state.status, predictions=found - found.mean(-1, keepdim=True))


def nothing(self, problem):
    return Counting(status=torch.zeros(len(problem), dtype=torch.long), predictions=0 * problem.queries[..., 0])


def hidden_nan(self, problem, weights, steps):
    """A singular prompt has broken down at the start, it says, where its answers are not numbers."""
    singular = (problem.gram == 0).all(-1).all(-1)
    status = torch.where(singular, int(Status.BREAKDOWN), 0)
    return Counting(status=status, weights=weights / ~singular[:, None], steps=steps)


BROKEN_ALGORITHMS = {
    "no dataclass": (Plain, "it is a frozen dataclass"),
    "name in capitals": (member(name="My Descent"), "its name is in kebab-case"),
    "unknown invariance": (member(implies=frozenset({"scale"})), "implies is a frozenset of invariances"),
    "implies as a list": (member(implies=["rotation"]), "implies is a frozenset of invariances"),
    "not an algorithm": (int, "it is an Algorithm"),
    "cannot be made": (
        dataclasses.make_dataclass("Broken", [("rate", float)], bases=(Descent,), frozen=True, kw_only=True),
        "it can be made",
    ),
    "raises": (own(lambda *_: 1 / 0), "works on ordinary prompts"),
    "starts elsewhere": (
        member(init=lambda self, p: self.state(p, torch.ones_like(p.moment), 0)),
        "iterate 0 is the zero predictor",
    ),
    "one state for all": (own(lambda self, p, w, g, k: (w - 0.1 * g)[:1]), "a state holds weights"),
    "always double": (own(lambda self, p, w, g, k: (w - 0.1 * g).double()), "a state holds weights"),
    "no status": (member(state=lambda self, p, w, k: Counting(status=torch.zeros(()), weights=w)), "a state holds"),
    "always NaN": (own(lambda self, p, w, g, k: w * float("nan")), "well-conditioned prompts end well"),
    "unknown status": (member(state=unheard_of), "the status is correct"),
    "stops for nothing": (member(state=restless), "well-conditioned prompts end well"),
    "has a memory": (remembers(), "running again gives the same numbers"),
    "batch mean": (own(lambda self, p, w, g, k: w - 0.1 * g.mean(0)), "does not depend on the other prompts"),
    "queries centred": (member(init=nothing, step=centred), "never from another query"),
    "another answer in single precision": (
        own(lambda self, p, w, g, k: w - (0.1 if w.dtype == torch.float64 else 0.11) * g),
        "single precision agrees with double",
    ),
    "writes into prompts": (member(init=writes), "a run does not change the prompts"),
    "not additive": (own(lambda self, p, w, g, k: w - g * g.norm(dim=-1, keepdim=True)), "invariances that it implies"),
    "not homogeneous": (own(lambda self, p, w, g, k: w - g.sign()), "invariances that it implies"),
    "not rotation": (own(lambda self, p, w, g, k: w - g * torch.arange(4)), "invariances that it implies"),
    "not permutation": (own(lambda self, p, w, g, k: w + p.xs[:, 0] * p.ys[:, :1]), "invariances that it implies"),
    "singular raises": (own(picky), "degenerate prompts raise no exception"),
    "NaN under another status": (member(state=hidden_nan), "the status is correct"),
}


@pytest.mark.parametrize("case", BROKEN_ALGORITHMS)
def test_a_broken_algorithm_is_told_which_promise_it_breaks(case, unchecked):
    algorithm, promise = BROKEN_ALGORITHMS[case]
    assert promise in promises(caught(check_algorithm, algorithm))


def test_the_algorithm_that_the_broken_ones_change_passes(unchecked):
    check_algorithm(Descent)
    check_algorithm(member())


def test_the_invariance_that_is_broken_is_named(unchecked):
    for name in ("additive", "homogeneous", "rotation", "permutation"):
        text = str(caught(check_algorithm, BROKEN_ALGORITHMS[f"not {name}"][0]))
        assert name in text


# --------------------------------------------------------------------------------------------- tasks

COVARIANCES = (
    tasks.Diagonal(condition=(1.0, 10.0, 100.0), scale="largest"),
    tasks.Toeplitz(rotate=True),
    tasks.LogUniform(),
    tasks.Eigenvalues(values=(1.0, 2.0, 3.0, 4.0, 5.0)),
)


@pytest.mark.parametrize(
    "task",
    [
        LinearRegression(),
        LinearRegression(dim=1, examples=1),
        LinearRegression(noise=0.3, weights="standard", queries=4),
        *(LinearRegression(inputs=kind()) for kind in (tasks.Uniform, tasks.Laplace, tasks.Rademacher)),
        *(LinearRegression(inputs=tasks.Gaussian(covariance=covariance)) for covariance in COVARIANCES),
        LinearRegression(inputs=tasks.Gaussian(covariance=tasks.Diagonal(), exact=True), query_inputs=tasks.Uniform()),
        LinearRegression(dim=1, inputs=tasks.Rademacher()),
    ],
    ids=lambda t: f"{type(t.inputs).__name__}-{type(t.inputs.covariance).__name__}-{t.dim}-{t.queries}",
)
def test_every_task_keeps_its_promises(task):
    check_task(task)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A task of somebody else's. Every broken one changes how it draws."""

    dim: int = 3
    examples: int = 6
    queries: int = 1

    def sample(self, n, *, seed, stream="sample", start=0, dtype=torch.float64):
        base = LinearRegression(dim=self.dim, examples=self.examples, queries=self.queries)
        return base.sample(n, seed=seed, stream=stream, start=start, dtype=dtype)


def drawn(sample, base=Own):
    """A task with another way of drawing."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(type("Broken", (base,), {"sample": sample}))()


def test_a_task_of_somebody_elses_passes():
    check_task(drawn(Own.sample))


def redrawn(change):
    """A task whose samples pass through ``change(task, prompts, seed)``."""
    return drawn(lambda self, n, *, seed, **options: change(self, Own().sample(n, seed=seed, **options), seed))


def requeried(change):
    """The same with its own number of queries, for what comes from the variance."""
    return drawn(lambda self, n, **options: change(self, Own.sample(self, n, **options)))


def fixed(**fixed_options):
    """A task that ignores some of what a sample is made from."""
    return drawn(lambda self, n, **options: Own.sample(self, n, **(options | fixed_options)))


def noisy(generator=None):
    def change(task, p, seed):
        return dataclasses.replace(p, ys=p.ys + torch.randn(p.ys.shape, dtype=p.ys.dtype, generator=generator))

    return redrawn(change)


def globally(task, p, seed):
    torch.manual_seed(seed)
    return dataclasses.replace(p, ys=p.ys + torch.randn(p.ys.shape, dtype=torch.float64).to(p.ys))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(Own):
    rule: object = dataclasses.field(default_factory=lambda: torch.zeros(1))


@dataclasses.dataclass
class Thawed:
    dim: int = 3
    examples: int = 6
    queries: int = 1


@dataclasses.dataclass(frozen=True)
class Sizeless:
    dim: int = 3


@dataclasses.dataclass(frozen=True)
class Silent(Sizeless):
    examples: int = 6
    queries: int = 1


BROKEN_TASKS = {
    "not frozen": (lambda: Thawed(), "it is a frozen dataclass"),
    "no queries": (lambda: Sizeless(), "dim, examples and queries are whole numbers"),
    "no sample": (lambda: Silent(), "gives n Prompts"),
    "not prompts": (lambda: redrawn(lambda task, p, *_: p.xs), "gives n Prompts"),
    "too few": (lambda: redrawn(lambda task, p, *_: p[1:]), "gives n Prompts"),
    "single precision": (lambda: redrawn(lambda task, p, *_: p.to(dtype=torch.float32)), "gives n Prompts"),
    "NaN": (lambda: redrawn(lambda task, p, *_: dataclasses.replace(p, ys=p.ys / 0)), "gives n Prompts"),
    "no start": (lambda: drawn(lambda self, n, *, seed: Own().sample(n, seed=seed)), "how a sample is split"),
    "at random": (lambda: noisy(torch.Generator().manual_seed(0)), "the same seed gives the same numbers"),
    "global generator": (noisy, "sampling does not use the global random generator"),
    "global seed": (lambda: redrawn(globally), "sampling does not use the global random generator"),
    "seed ignored": (lambda: fixed(seed=0), "seeds, streams and prompts are independent"),
    "stream ignored": (lambda: fixed(stream="sample"), "seeds, streams and prompts are independent"),
    "start ignored": (lambda: fixed(start=0), "numbers do not depend on how a sample is split"),
    "batch statistics": (
        lambda: redrawn(lambda task, p, *_: dataclasses.replace(p, xs=p.xs - p.xs.mean(0))),
        "numbers do not depend on how a sample is split",
    ),
    "one prompt again and again": (
        lambda: redrawn(lambda task, p, *_: p[torch.zeros(len(p), dtype=torch.long)]),
        "seeds, streams and prompts are independent",
    ),
    "queries from the context": (
        lambda: redrawn(lambda task, p, *_: dataclasses.replace(p, queries=p.xs[:, :1].repeat(1, task.queries, 1))),
        "seeds, streams and prompts are independent",
    ),
    "dtype ignored": (lambda: fixed(dtype=torch.float64), "dtype= sets the precision"),
    "variance of another prior": (
        lambda: requeried(lambda task, p: dataclasses.replace(p, target_variance=1.2 * p.target_variance)),
        "target_variance is the variance",
    ),
    "not JSON": (lambda: Opaque(), "a task can be written as JSON"),
}


@pytest.mark.parametrize("case", BROKEN_TASKS)
def test_a_broken_task_is_told_which_promise_it_breaks(case, unchecked):
    make, promise = BROKEN_TASKS[case]
    with torch.random.fork_rng(devices=[]):
        assert promise in promises(caught(check_task, make()))


# --------------------------------------------------------------------------------------------- instruments

TASK = LinearRegression(dim=3, examples=10)
LISTED = [instrument.name for instrument in INSTRUMENTS]
FEW = {"n": 8, "fit": 16, "score": 12, "prompts": 16}
LITTLE = {"stress": {"table": stress.distributions(TASK)[:3]}, "over training": {"candidates": ("gd", "cg")}}


def few(name):
    """An instrument of the catalogue with a few prompts; forty where a filter is fitted."""
    instrument = BY_NAME[name]
    sizes = {size: 40 if name == "spectrum" else FEW[size] for size in instrument.sizes["smoke"]}
    return functools.partial(instrument.measure, **sizes, **LITTLE.get(name, {}))


def able(name, **options):
    """A tiny network, with a checkpoint of its training where an instrument needs one."""
    made = tiny(**options)
    if name != "over training":
        return made
    return dataclasses.replace(made, spec={**made.spec, "step": 2}, checkpoints={1: lambda: tiny(**options)})


@pytest.mark.parametrize("name", [name for name in LISTED if name != "spectrum"])
def test_every_instrument_keeps_its_promises(name):
    check_instrument(few(name), able(name, layers=1), TASK)


@pytest.mark.parametrize("name", LISTED)
def test_every_instrument_says_what_it_measures_and_where(name, unchecked):
    instrument = BY_NAME[name]
    found = few(name)(able(name), TASK, seed=0)
    assert {m.instrument for m in found} == {name}
    assert {m.quantity for m in found} <= set(instrument.quantities)
    assert {key for m in found for key in m.coordinates} <= set(instrument.coordinates)
    assert {each.quantity for each in instrument.expected} <= set(instrument.quantities)
    assert instrument.question.endswith("?")
    if instrument.figure is not None and name not in (
        "spectrum",
        "invariance",
        "causal",
    ):  # which show what a trained one holds
        assert instrument.figure(found).rows


@pytest.mark.parametrize("name", ["readout", "patching", "invariance"])
def test_every_instrument_keeps_its_promises_on_a_construction(name):
    check_instrument(few(name), gradient_descent(layers=2), TASK, seed=1)


def test_the_spectral_response_keeps_its_promises(unchecked):
    """Unchecked: `identification.paths.Paths.again` goes under the axis ``batch`` with another number of prompts."""
    check_instrument(few("spectrum"), tiny(), TASK)


def test_an_instrument_that_does_not_apply_says_so():
    with pytest.raises(NotApplicable):
        check_instrument(few("attention"), gradient_descent(layers=2), TASK)


CONTROL = Control(kind="negative", name="another prompt", value=0.0)
NUMBER = Measurement(instrument="size", quantity="mean", value=1.0, interval=(0.5, 2.0), n=4, controls=(CONTROL,))


def size(subject, task, *, seed=0, **changes):
    """An honest instrument, to be changed in one thing."""
    prompts = task.sample(4, seed=seed)
    answers = [subject.trace(prompts[i : i + 1]).predictions for i in range(4)]
    found = float(torch.cat(answers).abs().mean())
    return (dataclasses.replace(NUMBER, **{"value": found, "interval": (found, found)} | changes),)


def forgetful(subject, task, *, seed=0):
    calls.append(0)
    return size(subject, task, seed=seed, n=len(calls))


calls = []


def unseeded(subject, task, *, seed=0):
    return size(subject, task, seed=seed, n=int(torch.randint(1, 10**9, ())))


def heavy(subject, task, *, seed=0):
    with torch.no_grad():
        subject.model.unembed.weight.mul_(1.5)
    return size(subject, task, seed=seed)


def hooked(subject, task, *, seed=0):
    """Takes its hook away, but not when something fails."""
    hook = subject.model.blocks[0].register_forward_hook(lambda *_: None)
    found = size(subject, task, seed=seed)
    hook.remove()
    return found


def silencing(subject, task, *, seed=0):
    try:
        return size(subject, task, seed=seed)
    except Exception:
        return (NUMBER,)


def wrapping(subject, task, *, seed=0):
    try:
        return size(subject, task, seed=seed)
    except Exception as error:
        raise KeyError("lost") from error


def changed(**changes):
    return functools.partial(size, **changes)


def odd():
    return dataclasses.replace(CONTROL, kind="odd")  # refused by the checker of types, so made when it is off


BROKEN_INSTRUMENTS = {
    "a list": (lambda *_, **options: [NUMBER], "it returns a tuple"),
    "nothing": (lambda *_, **options: (), "it returns a tuple"),
    "numbers": (lambda *_, **options: (1.0,), "it returns a tuple"),
    "NaN": (changed(value=float("nan"), interval=None), "every measurement is a finite number"),
    "a tensor": (changed(value=torch.tensor(1.0), interval=None), "every measurement is a finite number"),
    "outside its interval": (changed(value=3.0, interval=(0.0, 1.0)), "inside its interval"),
    "a control outside its interval": (
        changed(controls=(dataclasses.replace(CONTROL, interval=(1.0, 2.0)),)),
        "inside its interval",
    ),
    "no prompts": (changed(n=0), "on at least one prompt"),
    "no controls": (changed(controls=()), "stands beside a control"),
    "a control of NaN": (
        changed(controls=(dataclasses.replace(CONTROL, value=float("nan")),)),
        "stands beside a control",
    ),
    "a control of no kind": (lambda *args, **options: size(*args, **options, controls=(odd(),)), "beside a control"),
    "no quantity": (changed(quantity=""), "every measurement states instrument, quantity, unit and coordinates"),
    "coordinates that are no scalars": (
        changed(coordinates={"site": TASK}),
        "every measurement states instrument, quantity, unit and coordinates",
    ),
    "the same twice": (lambda *args, **options: 2 * size(*args, **options), "no two state the same"),
    "a memory": (forgetful, "the same seed gives the same numbers"),
    "the global generator": (unseeded, "the same seed gives the same numbers"),
    "weights": (heavy, "the instrument does not change the subject"),
    "hooks after an error": (hooked, "an error in a trace is passed on"),
    "errors swallowed": (silencing, "an error in a trace is passed on"),
    "errors wrapped": (wrapping, "an error in a trace is passed on"),
}


@pytest.mark.parametrize("case", BROKEN_INSTRUMENTS)
def test_a_broken_instrument_is_told_which_promise_it_breaks(case, unchecked):
    instrument, promise = BROKEN_INSTRUMENTS[case]
    with torch.random.fork_rng(devices=[]):
        assert promise in promises(caught(check_instrument, instrument, tiny(), TASK))


def test_the_instrument_that_the_broken_ones_change_passes():
    check_instrument(size, tiny(), TASK)


# --------------------------------------------------------------------------------------------- the package itself


def test_no_test_runner_is_needed():
    code = (
        "import sys, mesascope.testing; assert not {'pytest', '_pytest', 'beartype', 'hypothesis'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
