"""A subject that breaks a promise is told which."""

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch import nn

from mesascope.models.taps import Taps
from mesascope.tasks import LinearRegression
from mesascope.testing import check_subject
from mesascope.types import Domain, Site, Trace


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
def test_a_broken_subject_is_told_which_promise_it_breaks(name, unchecked, caught, promises):
    subject, promise = BROKEN[name]
    with torch.random.fork_rng(devices=[]):
        violation = caught(check_subject, subject())
    where = str(violation) if promise == "captured alone" else promises(violation)
    assert promise in where
    assert all(fault.observed and fault.remedy for fault in violation.faults)


def test_the_sites_at_which_edits_do_nothing_are_named(unchecked, caught):
    subject = EditsTheLastSiteOnly()
    violation = caught(check_subject, subject)
    [fault] = [fault for fault in violation.faults if fault.promise == "an intervention takes effect"]
    assert fault.observed == (f"a large edit at {subject.path[0]} does not change the predictions",)


def test_all_that_is_broken_is_said_at_once(unchecked, caught, promises):
    class Several(QueriesHavePlaces, AcceptsAnySite, NeverReinitialised):
        pass

    violation = caught(check_subject, Several())
    for promise in ("never from another query", "a site that the subject does not have", "reinitialised(seed)"):
        assert promise in promises(violation)
    text = str(violation)
    assert f"honest breaks {len(violation.faults)} promises of a subject:" in text
    assert text.count("promised:") == text.count("observed:") == text.count("remedy:") == len(violation.faults)


def test_the_cause_is_kept(unchecked, caught):
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
