"""The optimisers of a run, their learning-rate schedules, and their state as named tensors."""

import math
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor

from mesascope.training.objective import Objective
from mesascope.training.recipe import Recipe


@final
class Optimisers:
    """One optimiser for all parameters; with ``muon``, Muon for the blocks' matrices and Adam for the rest."""

    def __init__(self, objective: Objective, spec: Recipe) -> None:
        self._each = _make(objective, spec)
        self._schedules = [SCHEDULES[spec.schedule](e, spec) for e in self._each] if spec.schedule in SCHEDULES else []

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self._each[0].param_groups[0]["lr"]

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for each in self._each:
            each.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update the parameters, then the learning rate."""
        for each in (*self._each, *self._schedules):
            each.step()

    def tensors(self) -> dict[str, Tensor]:
        """The state of all parameters as ``optimiser.INDEX.NAME``; the index counts on from one optimiser to the next."""
        held, start = {}, 0
        for each in self._each:
            state = each.state_dict()["state"]
            held |= {f"optimiser.{start + i}.{k}": v for i, values in state.items() for k, v in values.items()}
            start += _count(each)
        return held

    def settings(self) -> dict[str, Any]:
        """The rest of the state, as JSON."""
        return {
            "param_groups": [group for each in self._each for group in each.state_dict()["param_groups"]],
            "schedules": [{k: v for k, v in each.state_dict().items() if not callable(v)} for each in self._schedules],
        }

    def restore(self, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
        """Restore the state that `tensors` and `settings` returned."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = value
        start = 0
        for each, group in zip(self._each, settings["param_groups"], strict=True):
            lists = {
                k: tuple(v) for k, v in group.items() if isinstance(v, list) and k != "params"
            }  # JSON has no tuples
            own = {i: state[start + i] for i in range(_count(each)) if start + i in state}
            each.load_state_dict({"state": own, "param_groups": [{**group, **lists}]})
            start += _count(each)
        for schedule, held in zip(self._schedules, settings["schedules"], strict=True):
            schedule.load_state_dict(dict(held))


def _make(objective: Objective, spec: Recipe) -> list[torch.optim.Optimizer]:
    rate, decay, model = spec.learning_rate, spec.weight_decay, objective.model
    adam = {"lr": rate, "weight_decay": decay, "betas": (spec.betas[0], spec.betas[1]), "fused": True}
    if spec.optimiser != "muon":
        kind = torch.optim.Adam if spec.optimiser == "adam" else torch.optim.AdamW
        return [kind(model.parameters(), **adam)]
    matrices = [p for name, p in model.named_parameters() if name.startswith(objective.blocks) and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    muon = torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.Adam([p for p in model.parameters() if id(p) not in chosen], **adam)]


def _one_cycle(optimiser: torch.optim.Optimizer, spec: Recipe) -> torch.optim.lr_scheduler.OneCycleLR:
    total, warmup = spec.steps + 1, spec.warmup
    if warmup * total == 1:
        warmup += 1e-9  # torch divides by zero if the rate rises for exactly 0 steps
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, spec.learning_rate, total_steps=total, pct_start=warmup, cycle_momentum=spec.optimiser != "muon"
    )


def _cosine(optimiser: torch.optim.Optimizer, spec: Recipe) -> torch.optim.lr_scheduler.LambdaLR:
    rising = max(1, round(spec.warmup * spec.steps))

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, spec.steps - rising)))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimiser, share)


SCHEDULES: Mapping[str, Callable[[torch.optim.Optimizer, Recipe], torch.optim.lr_scheduler.LRScheduler]] = {
    "onecycle": _one_cycle,
    "cosine": _cosine,
}


def _count(optimiser: torch.optim.Optimizer) -> int:
    """The number of an optimiser's parameter tensors."""
    return sum(len(group["params"]) for group in optimiser.param_groups)
