"""Planted subjects with coefficients for every layer: they are what their settings say, and candidates follow them exactly."""

import dataclasses

import pytest
import torch

from mesascope.calibration.cases.per_layer import CASES, LEAST, SPREAD
from mesascope.calibration.drawing import Draw, Setting
from mesascope.instruments.identification.families import BY_NAME
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.runner import Runner

SETTING = Setting(sizes=((4, 16),), steps=(3, 5), label_noise=(0.0,))
CANDIDATES = {
    "gradient descent, falling steps": "gradient-descent:per-layer",
    "gradient descent, other steps a layer": "gradient-descent:per-layer",
    "heavy ball, other terms a layer": "heavy-ball:per-layer",
    "GD++, other terms a layer": "gd-plus-plus:per-layer",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_candidate_follows_it_and_the_one_with_equal_coefficients_does_not(case):
    draw = Draw(SETTING, 11, 0)
    subject = case.make(draw)
    prompts = dataclasses.replace(draw.task, queries=4).sample(40, seed=0)
    trace = subject.trace(prompts, capture=subject.path)
    path = torch.stack([subject.readout(trace.activations[site][:, prompts.examples :], site) for site in subject.path])
    assert len(path) == draw.made["steps"] >= LEAST
    name = CANDIDATES[case.name]
    assert case.truth == (BY_NAME[name].algorithm_name,)
    runner = Runner(prompts)
    found = fit_path(BY_NAME[name], runner, path)
    assert found.loss < 1e-6
    assert fit_path(BY_NAME[name.split(":")[0]], runner, path).loss > 100 * found.loss
    sizes = found.values[: len(path)]
    assert max(sizes) / min(sizes) <= SPREAD**2 * 1.001 or "falling" in case.name
    if "falling" in case.name:
        assert [size / sizes[0] for size in sizes] == pytest.approx([1 / (k + 1) for k in range(len(sizes))], rel=1e-2)
