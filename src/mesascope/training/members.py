"""Runs of one architecture as one batched program, with an axis of members through parameters, gradients and optimisers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from mesascope.training.batches import AHEAD, Batch, dropout, mean_squared_error
from mesascope.training.regularisers import Regularisers, penalty
from mesascope.training.run import Run
from mesascope.training.schedules import beta, rate
from mesascope.training.spec import TrainingSpec

NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)
"""Coefficients of Muon's iteration, as in `torch.optim.Muon`."""
MOMENTUM = 0.95
EPSILON = {"adam": 1e-8, "muon": 1e-7}
REGULARISERS = tuple(field.name for field in fields(Regularisers))
STATES = {"adam": ("exp_avg", "exp_avg_sq", "step"), "muon": ("momentum_buffer",)}
"""What `torch.optim` keeps for a parameter, by name."""


@final
class Members:
    """The batched program. The runs' models and optimisers become views of its tensors: saving a run is as it always is.

    No operation mixes members. A member's losses are those of its own run alone up to the rounding of batched products: within
    1e-6 after 100 steps of Adam, and within a thousandth with Muon, which rounds to bfloat16 (a test holds both). Its weights are
    close, too, but for the biases of keys: their gradient is zero up to rounding, which Adam scales to full steps, and no answer
    depends on them.

    Args:
        runs: at the same step, with specifications that `mesascope.training.many.grouped` puts together.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = tuple(runs)
        self.specs = tuple(spec for run in runs if isinstance(spec := run.spec, TrainingSpec))
        self._model, self._device = runs[0].model, runs[0].device
        self._kinds = _kinds(runs[0])
        self.parameters = {name: _shared(runs, name) for name in self._kinds}
        self._buffers = {
            name: torch.stack([run.model.get_buffer(name) for run in runs]) for name, _ in runs[0].model.named_buffers()
        }
        asked = {name: [getattr(spec.regularisers, name) for spec in self.specs] for name in REGULARISERS}
        self._strengths = {name: self._each(each) for name, each in asked.items() if any(each)}
        self._states = {name: _shared_state(runs, name, kind) for name, kind in self._kinds.items()}
        self.losses: list[Float[Tensor, " member"]] = []

    def batches(self) -> Iterator[Mapping[str, Tensor]]:
        """The tensors of `Batch` by name, each with an axis of members before its own, for the steps that are left.

        Those of several steps are drawn at once.
        """
        spec, step = self.specs[0], self.runs[0].step
        ahead = max(1, AHEAD // spec.batch)
        for first in range(step, spec.steps, ahead):
            count = min(ahead, spec.steps - first)
            size = {"start": first * spec.batch, "stream": "train", "dtype": torch.float32}
            drawn = [each.task.sample(spec.batch * count, seed=each.seed, **size) for each in self.specs]
            parts = {
                name: torch.stack([getattr(d, name) for d in drawn]).to(self._device).split(spec.batch, 1)
                for name in ("xs", "ys", "queries", "targets")
            }
            for i in range(count):
                batch = {name: part[i] for name, part in parts.items()}
                if spec.model.dropout:
                    batch["kept"] = torch.stack([dropout(each, first + i, self._device) for each in self.specs])
                yield batch

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """One step of every member's optimiser."""
        losses, added = torch.vmap(self._loss)(self.parameters, self._buffers, batch, self._strengths)
        gradients = torch.autograd.grad((losses + added).sum(), list(self.parameters.values()))
        with torch.no_grad():
            gradients = self._clipped(gradients)
            numbers = self._numbers()
            for (name, parameter), gradient in zip(self.parameters.items(), gradients, strict=True):
                UPDATES[self._kinds[name]](parameter, gradient, self._states[name], numbers)
        self.losses.append(losses.detach())
        for run in self.runs:
            run.step += 1

    def tell(self) -> None:
        """Give every run its losses since this was last called."""
        if self.losses:
            for run, column in zip(self.runs, torch.stack(self.losses, 1), strict=True):
                run.losses += column.unbind()
                run.optimisers.resume(run.step)
            self.losses = []

    def _loss(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        strengths: Mapping[str, Tensor],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """One member's loss, and what its regularisers add."""
        weights = {**parameters, **buffers}

        def model(*prompts: Tensor, **options: Any) -> Tensor:
            return functional_call(self._model, weights, prompts, options)

        loss = mean_squared_error(model, Batch(**batch, weights=None), self.specs[0].supervision)
        added = penalty(weights, self.specs[0].model, **strengths) if strengths else torch.zeros_like(loss)
        assert added is not None, "a strength that is a tensor is always computed with"
        return loss, added

    def _clipped(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Gradients whose norm, over all parameters of a member, is at most the ``clip`` of its specification."""
        if all(spec.clip is None for spec in self.specs):
            return list(gradients)
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
        bounds = self._each([torch.inf if spec.clip is None else spec.clip for spec in self.specs])
        factors = (bounds / (norms + 1e-6)).clamp(max=1.0)
        return [g * _along(factors, g) for g in gradients]

    def _numbers(self) -> dict[str, Float[Tensor, " member"]]:
        """What the optimisers need besides gradients: of each member its own."""
        step = self.runs[0].step
        rates = [rate(spec, step) for spec in self.specs]
        first, second = [beta(spec, step) for spec in self.specs], [spec.betas[1] for spec in self.specs]
        coupled = self.specs[0].optimiser != "adamw"  # also of the Adam beside Muon
        decays = [spec.weight_decay for spec in self.specs]
        taken = step + 1
        return {
            "rate": self._each(rates),
            "first": self._each([1 - b for b in first]),
            "second": self._each([1 - b for b in second]),
            "step size": self._each([r / (1 - b**taken) for r, b in zip(rates, first, strict=True)]),
            "root": self._each([(1 - b**taken) ** 0.5 for b in second]),
            "added": self._each([d if coupled else 0.0 for d in decays]),
            "kept": self._each([1.0 if coupled else 1 - r * d for r, d in zip(rates, decays, strict=True)]),
            "kept by Muon": self._each([1 - r * d for r, d in zip(rates, decays, strict=True)]),
        }

    def _each(self, numbers: Sequence[float]) -> Float[Tensor, " member"]:
        return torch.tensor(numbers, dtype=torch.float32, device=self._device)


def _adam(parameter: Tensor, gradient: Tensor, state: Mapping[str, Tensor], numbers: Mapping[str, Tensor]) -> None:
    n = {name: _along(value, parameter) for name, value in numbers.items()}
    gradient = gradient + n["added"] * parameter
    parameter.mul_(n["kept"])
    state["exp_avg"].lerp_(gradient, n["first"])
    state["exp_avg_sq"].lerp_(gradient.square(), n["second"])
    state["step"].add_(1)
    scale = state["exp_avg_sq"].sqrt().div_(n["root"]).add_(EPSILON["adam"])
    parameter.sub_(state["exp_avg"] / scale * n["step size"])


def _muon(parameter: Tensor, gradient: Tensor, state: Mapping[str, Tensor], numbers: Mapping[str, Tensor]) -> None:
    buffer = state["momentum_buffer"]
    buffer.lerp_(gradient, 1 - MOMENTUM)
    update = orthogonal(gradient.lerp(buffer, MOMENTUM))
    length = 0.2 * max(parameter.shape[1:]) ** 0.5
    parameter.mul_(_along(numbers["kept by Muon"], parameter))
    parameter.sub_(update * _along(numbers["rate"] * length, parameter))


def orthogonal(matrices: Float[Tensor, "member row column"]) -> Float[Tensor, "member row column"]:
    """Roughly the orthogonal factor of every matrix, in bfloat16, by five steps of Newton–Schulz as in `torch.optim.Muon`."""
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[1] <= matrices.shape[2]
    x = (matrices if wide else matrices.mT).bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON["muon"])
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.mT


UPDATES: Mapping[str, Callable[[Tensor, Tensor, Mapping[str, Tensor], Mapping[str, Tensor]], None]] = {
    "adam": _adam,
    "muon": _muon,
}


def _kinds(run: Run) -> dict[str, str]:
    """By parameter, which optimiser has it."""
    muon = {
        id(p)
        for each in run.optimisers.each
        if isinstance(each, torch.optim.Muon)
        for group in each.param_groups
        for p in group["params"]
    }
    return {name: "muon" if id(p) in muon else "adam" for name, p in run.model.named_parameters()}


def _shared(runs: Sequence[Run], name: str) -> Tensor:
    """One parameter of all members; in the runs' models it becomes a view."""
    own = [run.model.get_parameter(name) for run in runs]
    stacked = torch.stack([p.detach() for p in own])
    for parameter, view in zip(own, stacked, strict=True):
        parameter.data = view
    return stacked.requires_grad_()


def _shared_state(runs: Sequence[Run], name: str, kind: str) -> dict[str, Tensor]:
    """The optimisers' state of one parameter of all members; in the runs' optimisers it becomes a view."""
    held = []
    for run in runs:
        parameter = run.model.get_parameter(name)
        owner = next(e for e in run.optimisers.each if any(parameter is p for g in e.param_groups for p in g["params"]))
        state = owner.state[parameter]
        for key in STATES[kind]:
            state.setdefault(key, torch.zeros(()) if key == "step" else torch.zeros_like(parameter))
        held.append(state)
    stacked = {key: torch.stack([state[key] for state in held]) for key in STATES[kind]}
    for key, values in stacked.items():
        for state, view in zip(held, values, strict=True):
            state[key] = view
    return stacked


def _along(numbers: Float[Tensor, " member"], like: Tensor) -> Tensor:
    """One number per member, to be multiplied with a tensor of all members."""
    return numbers.view(-1, *[1] * (like.ndim - 1))
