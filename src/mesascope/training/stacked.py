"""Parameters of many runs in one block of memory, and the optimisers' steps on it: one row a run."""

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mesascope.training.muon import length, nesterov, orthogonal
from mesascope.training.optimisers import set_rates
from mesascope.training.recipe import Recipe
from mesascope.training.run import Run
from mesascope.training.schedules import rate

RATES = ("learning_rate", "weight_decay", "betas", "schedule", "warmup")
"""Fields of a specification that say how Adam steps."""


@final
class Stacked:
    """Some parameters of all runs; the models' parameters become views of it.

    Args:
        runs: of models that are alike.
        names: of the parameters, all of which the optimiser of this number has.
        number: which of a run's optimisers.

    Attributes:
        values: a row a run, with the parameters one after the other.
        leaves: the parameters by name, with an axis of members in front: views of ``values`` that gradients are taken of.
    """

    def __init__(self, runs: Sequence[Run], names: Sequence[str], number: int) -> None:
        self.runs, self._number = tuple(runs), number
        self._own = [[run.model.get_parameter(name) for name in names] for run in runs]
        self._shapes = [p.shape for p in self._own[0]]
        self.values = _rows(self._own)
        for k, part in enumerate(self.parts(self.values)):
            for each, view in zip(self._own, part, strict=True):
                each[k].data = view
        self.leaves = {name: nn.Parameter(part) for name, part in zip(names, self.parts(self.values), strict=True)}

    def parts(self, rows: Float[Tensor, "member number"]) -> list[Tensor]:
        """Views of rows in the shapes of the parameters, each with an axis of members in front."""
        split = rows.split([math.prod(shape) for shape in self._shapes], 1)
        return [part.unflatten(1, shape) for part, shape in zip(split, self._shapes, strict=True)]

    def state(self, key: str) -> Float[Tensor, "member number"]:
        """What the runs' optimisers keep under a name for every parameter, in rows; theirs become views of it."""
        states = [
            [run.optimisers.each[self._number].state[p] for p in own]
            for run, own in zip(self.runs, self._own, strict=True)
        ]
        rows = _rows(
            [
                [state.get(key, torch.zeros_like(p)) for state, p in zip(each, own, strict=True)]
                for each, own in zip(states, self._own, strict=True)
            ]
        )
        for k, part in enumerate(self.parts(rows)):
            for each, view in zip(states, part, strict=True):
                each[k][key] = view
        return rows

    def steps(self) -> Float[Tensor, "member parameter"]:
        """The number of steps that the runs' optimisers keep for every parameter; theirs become views of it."""
        taken = torch.full((len(self.runs), len(self._shapes)), float(self.runs[0].step), device=self.values.device)
        for run, own, row in zip(self.runs, self._own, taken, strict=True):
            for p, view in zip(own, row, strict=True):
                run.optimisers.each[self._number].state[p]["step"] = view
        return taken


@final
class Adam:
    """Adam or AdamW: torch's own, to which a run's row is one parameter; runs with the same rates are one group."""

    def __init__(self, runs: Sequence[Run], names: Sequence[str], number: int) -> None:
        self.stacked = Stacked(runs, names, number)
        self._steps = self.stacked.steps()
        self._rows = list(self.stacked.values)
        groups: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._specs: dict[tuple[Any, ...], Recipe] = {}
        for run, row in zip(runs, self._rows, strict=True):
            key = tuple(getattr(run.spec, name) for name in RATES)
            self._specs.setdefault(key, run.spec)
            groups.setdefault(key, {**run.optimisers.each[number].param_groups[0], "params": []})["params"].append(row)
        self._optimiser = torch.optim.Adam(groups.values())  # AdamW's groups say that the decay is decoupled
        moments = zip(self.stacked.state("exp_avg"), self.stacked.state("exp_avg_sq"), strict=True)
        for row, (first, second) in zip(self._rows, moments, strict=True):
            step = torch.tensor(float(runs[0].step), device=row.device)
            self._optimiser.state[row] = {"step": step, "exp_avg": first, "exp_avg_sq": second}

    def update(self, gradient: Float[Tensor, "member number"]) -> None:
        """One step."""
        for spec, group in zip(self._specs.values(), self._optimiser.param_groups, strict=True):
            set_rates(group, spec, self.stacked.runs[0].step)
        for row, slope in zip(self._rows, gradient, strict=True):
            row.grad = slope
        self._optimiser.step()

    def tell(self) -> None:
        """Give the runs' optimisers the number of steps taken."""
        self._steps.fill_(float(self.stacked.runs[0].step))


@final
class Muon:
    """Muon, with the iterations of all runs as one."""

    def __init__(self, runs: Sequence[Run], names: Sequence[str], number: int) -> None:
        self.stacked = Stacked(runs, names, number)
        self._momentum = self.stacked.state("momentum_buffer")

    def update(self, gradient: Float[Tensor, "member number"]) -> None:
        """One step."""
        stacked = self.stacked
        rates = [rate(run.spec, run.step) for run in stacked.runs]
        kept = [1 - each * run.spec.weight_decay for each, run in zip(rates, stacked.runs, strict=True)]
        stacked.values.mul_(gradient.new_tensor(kept)[:, None])
        sizes = gradient.new_tensor(rates)[:, None, None]
        steps = stacked.parts(nesterov(gradient, self._momentum))
        for parameter, step in zip(stacked.parts(stacked.values), steps, strict=True):
            parameter.sub_(orthogonal(step) * (sizes * length(step.shape[1:])))

    def tell(self) -> None:
        """Muon keeps no number of steps."""


def stacked_optimisers(runs: Sequence[Run]) -> list[Adam | Muon]:
    """The optimisers of runs that are alike, in their order, each with its parameters."""
    names = {id(p): name for name, p in runs[0].model.named_parameters()}
    return [
        (Muon if isinstance(each, torch.optim.Muon) else Adam)(
            runs, [names[id(p)] for group in each.param_groups for p in group["params"]], number
        )
        for number, each in enumerate(runs[0].optimisers.each)
    ]


def _rows(each: Sequence[Sequence[Tensor]]) -> Float[Tensor, "member number"]:
    """The tensors of each run one after the other."""
    return torch.stack([torch.cat([tensor.detach().flatten() for tensor in own]) for own in each])
