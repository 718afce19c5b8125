"""Preconditioned Richardson iteration is named, by its kernel; what only resembles it is not; and who is offered it."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

from mesascope.algorithms import RBF, GradientDescent, Linear, NadarayaWatson, PreconditionedRichardson
from mesascope.calibration.disguise import Disguised
from mesascope.instruments.identification import identify_path
from mesascope.instruments.identification.families import BY_NAME
from mesascope.instruments.identification.offering import even_share, offered
from mesascope.instruments.identification.runner import Runner
from mesascope.models.constructions import gradient_descent, kernel_gradient_descent, preconditioned_richardson
from mesascope.models.scripted import Scripted, followed
from mesascope.seeds import generator
from mesascope.tasks import LinearRegression
from mesascope.types import Prompts

NAME, GAUSSIAN, STRAIGHT = (
    "preconditioned-richardson",
    "preconditioned-richardson:rbf",
    "preconditioned-richardson:linear",
)
RIVALS = (NAME, "gradient-descent", "gradient-descent:damped", "conjugate-gradient", "gd-plus-plus")
TASK = LinearRegression()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waves:
    """Functions that are not linear: sums of 64 waves, nearly draws from a Gaussian process with a Gaussian kernel."""

    dim: int = 3
    examples: int = 24
    queries: int = 8
    length: float = 2.0

    def sample(
        self, n: int, *, seed: int, stream: str = "sample", start: int = 0, dtype: torch.dtype = torch.float64
    ) -> Prompts:
        rows = [self._one(generator(seed, f"waves/{stream}", number)) for number in range(start, start + n)]
        points, values = (torch.stack(each) for each in zip(*rows, strict=True))
        shown = self.examples
        return Prompts(
            xs=points[:, :shown],
            ys=values[:, :shown],
            queries=points[:, shown:],
            targets=values[:, shown:],
            target_variance=torch.ones(n, dtype=torch.float64),
        ).to(dtype=dtype)

    def _one(self, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        points = torch.randn(self.examples + self.queries, self.dim, generator=rng, dtype=torch.float64)
        waves = torch.randn(self.dim, 64, generator=rng, dtype=torch.float64) / self.length
        turn = 2 * torch.pi * torch.rand(64, generator=rng, dtype=torch.float64)
        size = torch.randn(64, generator=rng, dtype=torch.float64)
        return points, (2 / 64) ** 0.5 * (points @ waves + turn).cos() @ size


def test_the_network_is_named_with_its_coefficients_and_takes_one_layer_per_step(path_answer):
    network = preconditioned_richardson(steps=5, bandwidth=3.0, ridge=0.2)
    found = path_answer(network, algorithms=RIVALS)
    assert (found.label, found.algorithms, found.readout) == ("identified", (GAUSSIAN,), "own")
    row = found.scores[0]
    assert row.coefficients["bandwidth"] == pytest.approx(3.0, rel=1e-3)
    assert row.coefficients["ridge"] == pytest.approx(0.2, rel=0.02)
    assert row.steps == (0, 0, 1, 2, 3, 4, 5)


def test_it_is_named_on_functions_that_are_not_linear():
    (found,) = identify_path(
        preconditioned_richardson(steps=5, bandwidth=1.5, ridge=0.1), Waves(), algorithms=RIVALS, prompts=60
    )
    assert (found.label, found.algorithms) == ("identified", (GAUSSIAN,))
    assert found.scores[0].coefficients["bandwidth"] == pytest.approx(1.5, rel=0.01)


def test_the_linear_kernel_is_another_candidate(path_answer):
    subject = followed("linear", PreconditionedRichardson(kernel=Linear(), ridge=2.0), range(1, 7))
    found = path_answer(subject, algorithms=RIVALS)
    assert (found.label, found.algorithms) == ("identified", (STRAIGHT,))
    assert found.scores[0].coefficients["ridge"] == pytest.approx(2.0, rel=1e-3)


def _fading(prompts: Prompts) -> torch.Tensor:
    """A smoother whose kernel narrows from layer to layer: no iteration."""
    return torch.stack(
        [
            NadarayaWatson(kernel=RBF(bandwidth=h)).answer(Runner(prompts).problem)[0]
            for h in (6.0, 4.5, 3.5, 2.8, 2.3, 2.0)
        ]
    )


@pytest.mark.parametrize(
    ("subject", "named"),
    [
        (kernel_gradient_descent(layers=1, step_size=1.0, temperature=4.0), ()),
        (kernel_gradient_descent(layers=6, step_size=0.8, temperature=4.0), ()),
        (followed("smoother", NadarayaWatson(kernel=RBF(bandwidth=3.0)), (1,)), ()),
        (Scripted(name="narrowing smoother", layers=6, script=_fading), ()),
        (gradient_descent(layers=6, step_size=0.2), ("gradient-descent",)),
    ],
    ids=("one softmax head", "softmax descent", "Gaussian smoother", "narrowing smoother", "gradient descent"),
)
def test_what_only_resembles_it_is_not_called_so(subject, named, path_answer):
    found = path_answer(subject, algorithms=RIVALS)
    assert found.algorithms == named


def test_copies_with_other_inputs_are_other_bandwidths():
    """All members in one run: the same numbers as one by one."""
    runner = Runner(TASK.sample(5, seed=0))
    steps = torch.tensor([[1, 3], [2, 2], [0, 5]])
    for name, values in ((GAUSSIAN, [(0.7, 0.1), (2.0, 1.0), (5.0, 0.01)]), (STRAIGHT, [(0.1,), (1.0,), (20.0,)])):
        family = BY_NAME[name]
        together = runner.at(family, values, steps)
        alone = dataclasses.replace(family, batched=False)
        one_by_one = torch.stack([runner.at(alone, [v], s[None])[0] for v, s in zip(values, steps, strict=True)])
        torch.testing.assert_close(together, one_by_one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("subject", "share", "kernels"),
    [
        (gradient_descent(), 0.0, False),
        (Disguised(subject=gradient_descent(), seed=1, noise=0.2), 0.0, False),
        (preconditioned_richardson(steps=3), None, True),
        (followed("labels", NadarayaWatson(kernel=RBF(bandwidth=30.0)), (1,)), 1.0, True),
    ],
    ids=("linear in the query", "linear, with noise", "a kernel", "hardly looks at the query"),
)
def test_curved_kernels_are_offered_where_answers_are_not_linear_in_the_query(subject, share, kernels):
    families = tuple(BY_NAME[name] for name in ("gradient-descent", GAUSSIAN, STRAIGHT))
    named = {family.name for family in offered(families, subject, TASK, seed=0)}
    assert named == {"gradient-descent", STRAIGHT} | ({GAUSSIAN} if kernels else set())
    if share is not None:
        assert even_share(subject, TASK.sample(200, seed=0)) == pytest.approx(share, abs=0.02)


def test_a_subject_that_answers_zero_is_offered_no_kernel():
    nothing = Scripted(name="zero", layers=1, script=lambda p: torch.zeros_like(p.targets)[None])
    assert even_share(nothing, TASK.sample(8, seed=0)) == 0.0


def test_who_is_asked_for_by_name_is_always_tried(path_answer):
    found = path_answer(followed("linear", GradientDescent(step_size=0.2), range(1, 5)), algorithms=[GAUSSIAN])
    assert [row.candidate for row in found.scores] == [GAUSSIAN] and found.label == "none"
