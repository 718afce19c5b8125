"""The optimisers of a run, and their state as named tensors."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from mesascope.training.muon import Muon
from mesascope.training.objective import Objective
from mesascope.training.recipe import Recipe
from mesascope.training.schedules import beta, rate


@final
class Optimisers:
    """One optimiser for all parameters; with ``muon``, Muon for the blocks' matrices and Adam for the rest."""

    def __init__(self, objective: Objective, spec: Recipe) -> None:
        self.each = _make(objective, spec)
        self._spec = spec
        self._taken = 0

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return rate(self._spec, self._taken)

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for each in self.each:
            each.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update the parameters with the learning rate of this step."""
        for each in self.each:
            for group in each.param_groups:
                set_rates(group, self._spec, self._taken)
            each.step()
        self._taken += 1

    def tensors(self) -> dict[str, Tensor]:
        """The state of all parameters as ``optimiser.INDEX.NAME``; the index counts on from one optimiser to the next."""
        held, start = {}, 0
        for each in self.each:
            state = each.state_dict()["state"]
            held |= {f"optimiser.{start + i}.{k}": v for i, values in state.items() for k, v in values.items()}
            start += _count(each)
        return held

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Restore the state that `tensors` returned after ``step`` steps."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = value
        start = 0
        for each in self.each:
            own = {i: state[start + i] for i in range(_count(each)) if start + i in state}
            each.load_state_dict({**each.state_dict(), "state": own})
            start += _count(each)
        self.resume(step)

    def resume(self, step: int) -> None:
        """Go on with the learning rate of a run that has taken this many steps."""
        self._taken = step


def set_rates(group: dict[str, Any], spec: Recipe, taken: int) -> None:
    """Set what the schedule says of an optimiser's group, for the step after ``taken`` steps."""
    group["lr"] = rate(spec, taken)
    if "betas" in group:
        group["betas"] = (beta(spec, taken), spec.betas[1])


def _make(objective: Objective, spec: Recipe) -> list[torch.optim.Optimizer]:
    decay, model = spec.weight_decay, objective.model
    adam = {"lr": spec.learning_rate, "weight_decay": decay, "betas": (spec.betas[0], spec.betas[1]), "fused": True}
    if spec.optimiser != "muon":
        kind = torch.optim.Adam if spec.optimiser == "adam" else torch.optim.AdamW
        return [kind(model.parameters(), **adam)]
    matrices = [p for name, p in model.named_parameters() if name.startswith(objective.blocks) and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    return [
        Muon(matrices, spec.learning_rate, decay),
        torch.optim.Adam([p for p in model.parameters() if id(p) not in chosen], **adam),
    ]


def _count(optimiser: torch.optim.Optimizer) -> int:
    """The number of an optimiser's parameter tensors."""
    return sum(len(group["params"]) for group in optimiser.param_groups)
