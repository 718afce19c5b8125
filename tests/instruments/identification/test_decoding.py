"""Readouts fitted to candidates' iterates: what a stream holds is found, whatever else it holds; what it lacks is not."""

import pytest
import torch

from mesascope.algorithms import ConjugateGradient, GDPlusPlus, GradientDescent, HeavyBall, run
from mesascope.calibration.disguise import Disguised
from mesascope.instruments.identification import identify_path
from mesascope.instruments.identification.decoding import Projection, Readers, Sight
from mesascope.instruments.identification.families import BY_NAME
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.runner import Runner
from mesascope.models.constructions import conjugate_gradient, heavy_ball, nesterov
from mesascope.models.scripted import followed
from mesascope.seeds import generator
from mesascope.tasks import Diagonal, Gaussian, LinearRegression

TASK = LinearRegression(
    dim=4, examples=12, queries=4, inputs=Gaussian(covariance=Diagonal(condition=30.0, rotate=True))
)
STEPS = (1, 2, 3)
DESCENT, BALL = GradientDescent(step_size=0.2), HeavyBall(step_size=0.2, momentum=0.6)
SEVERAL = ("gradient-descent", "heavy-ball", "nesterov", "conjugate-gradient", "newton-schulz:identity")


def sight(algorithm, count=60, seed=0, stream=None):
    """Prompts, and a subject whose stream holds an algorithm's iterates (or other things), the last velocity and the query."""
    prompts = TASK.sample(count, seed=seed)
    path = run(algorithm, prompts, STEPS[-1]).predictions
    held = path[1:] if stream is None else stream(prompts)
    streams = []
    for layer in range(len(STEPS) - 1):
        columns = [3.0 * held[layer], held[layer] - path[layer], *prompts.queries.unbind(-1)]
        streams.append(torch.stack(columns, -1))
    shown = torch.stack([1.7 * held[0], 0.9 * held[1], path[-1]])
    return Sight(runner=Runner(prompts), stream=tuple(streams), shown=shown)


def still(seen):
    return [torch.zeros(s.shape[-1], s.shape[-1], dtype=torch.float64) for s in seen.stream]


def iterates(algorithm):
    return lambda runner: run(algorithm, runner.prompts, STEPS[-1]).predictions[list(STEPS)][None]


def test_an_iterate_in_the_stream_is_found_beside_the_velocity_and_at_any_scale():
    sample, home, there = sight(BALL), sight(BALL, seed=1), sight(BALL, seed=2)
    [(subject, candidate)] = Readers(sample, home, still(sample)).decode(iterates(BALL), torch.tensor([STEPS]), [there])
    assert torch.allclose(subject, candidate)
    size = (there.shown[:-1] * there.roots).square().mean((-1, -2))
    found = (candidate[0, :-1] * there.roots).square().mean((-1, -2))
    assert torch.allclose(found, size, rtol=0.3)  # the scale of what can be read, as measured on other prompts
    assert torch.equal(subject[0, -1], there.shown[-1])


def test_another_algorithms_iterate_is_not_found():
    sample, home, there = sight(BALL), sight(BALL, seed=1), sight(BALL, seed=2)
    [(subject, candidate)] = Readers(sample, home, still(sample)).decode(
        iterates(ConjugateGradient()), torch.tensor([STEPS]), [there]
    )
    error = ((subject - candidate) * there.roots[0]).square().mean((-1, -2))[0]
    assert float(error[1]) > 0.01
    assert float(error[2]) > 0.01


def test_before_its_first_step_a_candidate_may_hold_the_first_gradient_and_no_more():
    def first_gradient(prompts):
        moment = (prompts.xs * prompts.ys[..., None]).mean(1)
        return torch.einsum("bqd,bd->bq", prompts.queries, moment).expand(2, -1, -1)

    held = sight(BALL, stream=first_gradient)
    steps = torch.tensor([[0, 0, 1]])
    [(subject, candidate)] = Readers(held, held, still(held)).decode(
        lambda runner: torch.zeros(1, 3, len(runner.prompts), 4, dtype=torch.float64), steps, [held]
    )
    assert torch.equal(candidate[:, :2], torch.zeros_like(candidate[:, :2]))
    assert torch.equal(subject[0, 0], held.shown[0])  # two layers before the first step: all of it counts as error
    assert float(subject[0, 1].abs().max()) < 1e-6  # at the layer before it, nothing


def test_a_search_finds_coefficients_that_only_the_stream_shows():
    """The readings are any multiple of the iterates, so that nothing but their presence in the stream gives these away."""
    seen = sight(BALL)
    found = fit_path(BY_NAME["heavy-ball"], seen.runner, seen.shown, projection=Projection(seen, still(seen)))
    assert found.steps == STEPS
    assert found.values == pytest.approx((0.2, 0.6), rel=1e-3)
    assert found.loss == pytest.approx(0, abs=1e-8)
    other = fit_path(BY_NAME["conjugate-gradient"], seen.runner, seen.shown, projection=Projection(seen, still(seen)))
    assert other.loss > 0.01


def test_a_candidate_that_diverges_for_a_while_is_read_with_its_coefficients():
    """The first iterates of some prompts are hundreds of times the others': cut off, they were another path's."""
    seen = sight(GDPlusPlus(step_size=5.0, curvature=0.23), count=150)
    assert float(seen.stream[1][..., 0].abs().amax()) > 20 * float(seen.stream[1][..., 0].abs().median())
    found = fit_path(BY_NAME["gd-plus-plus"], seen.runner, seen.shown, projection=Projection(seen, still(seen)))
    assert found.steps == STEPS
    assert found.values == pytest.approx((5.0, 0.23), rel=1e-3)


def test_noise_in_the_stream_does_not_move_what_is_fitted():
    """Without the noise's covariance, a candidate that reads clean channels would be preferred to the right one."""
    clean, rng = sight(BALL, count=300), generator(0, "decoding/noise")
    deviation = 0.3 * clean.prompts.target_variance.sqrt()[:, None]
    streams, noise = [], []
    for layer in clean.stream:
        added = deviation * torch.randn(layer.shape[:2], generator=rng, dtype=torch.float64)
        streams.append(torch.cat([layer[..., :1] + 3 * added[..., None], layer[..., 1:]], -1))
        covariance = torch.zeros(layer.shape[-1], layer.shape[-1], dtype=torch.float64)
        covariance[0, 0] = float((3 * deviation * clean.roots[0]).square().mean())
        noise.append(covariance)
    seen = Sight(runner=clean.runner, stream=tuple(streams), shown=clean.shown)
    found, misled = (
        fit_path(BY_NAME["heavy-ball"], seen.runner, seen.shown, projection=Projection(seen, known))
        for known in (noise, still(seen))
    )
    assert found.steps == STEPS
    assert found.values == pytest.approx((0.2, 0.6), rel=0.05)
    assert misled.values != pytest.approx((0.2, 0.6), rel=0.2)


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (heavy_ball(layers=5, step_size=0.2, momentum=0.5), "heavy-ball"),
        (nesterov(layers=5, step_size=0.2, momentum=0.5), "nesterov"),
        (
            conjugate_gradient(iterations=3),
            "conjugate-gradient",
        ),  # two layers per step: half-way there is a gradient, too
        (followed("descent", DESCENT, (1, 2, 3, 4)), "gradient-descent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_named_with_the_own_readout_withheld_and_the_stream_turned(subject, name):
    hidden = Disguised(subject=subject, seed=3)
    [found] = identify_path(hidden, LinearRegression(), algorithms=SEVERAL, prompts=60, readouts=("fitted",))
    assert (found.readout, found.label, found.algorithms) == ("fitted", "identified", (name,))


def test_steps_that_fall_from_layer_to_layer_are_named_with_the_own_readout_withheld():
    """From equal steps the search ends beside them, and heavy ball per layer is named in their place."""
    falling = GradientDescent(step_size=tuple(0.7 / k for k in range(1, 7)))
    hidden = Disguised(subject=followed("falling", falling, range(1, 7)), seed=3)
    names = ["gd", "heavy-ball", "gradient-descent:per-layer", "heavy-ball:per-layer"]
    [found] = identify_path(hidden, LinearRegression(), algorithms=names, prompts=100, readouts=("fitted",))
    assert (found.readout, found.algorithms) == ("fitted", ("gradient-descent:per-layer",))


def test_a_stream_that_holds_no_iterates_is_none_of_the_candidates():
    """Every other layer says something about the targets, but of another kind: labels of the nearest examples, for instance."""

    def script(prompts):
        near = (prompts.queries[:, :, None] - prompts.xs[:, None]).norm(dim=-1).argmin(-1)
        copied = prompts.ys.gather(1, near)
        return torch.stack([copied, 0.5 * copied, run(DESCENT, prompts, 3).predictions[-1]])

    subject = type(followed("x", DESCENT, (1,)))(name="copying", layers=3, script=script)
    [found] = identify_path(subject, LinearRegression(), algorithms=SEVERAL, prompts=60, readouts=("fitted",))
    assert found.label == "none"
