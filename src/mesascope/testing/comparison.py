"""Comparisons: when two results count as equal, and the state that must be the same before and after a check."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mesascope.types import Prompts, Site, Subject


def distance(a: Tensor, b: Tensor) -> float:
    """The largest difference, as a share of the largest magnitude in ``a``; infinite if shapes or NaNs differ.

    If all of ``a`` is zero, the absolute difference is returned.
    """
    if a.shape != b.shape or not torch.equal(a.isnan(), b.isnan()):
        return float("inf")
    a, b = a.detach().double().cpu(), b.detach().double().cpu()
    # Equal infinities have no difference.
    apart = torch.where((a == b) | a.isnan(), 0.0, (a - b).abs())
    known = a[a.isfinite()].abs()
    scale = float(known.max()) if known.numel() else 0.0
    return float(apart.max()) / (scale or 1.0)


def rounding(values: Sequence[Tensor]) -> float:
    """The largest `distance` of results that differ only in the order of operations: √ε of the least precise dtype.

    A batch of one uses other kernels than a batch of five, and a network amplifies the difference, so a few ε would be too
    strict; a truly different computation differs by much more than √ε (3e-4 in single precision).
    """
    return max((torch.finfo(v.dtype).eps for v in values if v.is_floating_point()), default=2**-52) ** 0.5


def tensors(prompts: Prompts) -> dict[str, Tensor]:
    """The tensors of prompts, by field name."""
    held = {field.name: getattr(prompts, field.name) for field in dataclasses.fields(prompts)}
    return {name: value for name, value in held.items() if isinstance(value, Tensor)}


def copy(prompts: Prompts) -> Prompts:
    """A copy of the prompts that shares no memory with them."""
    return dataclasses.replace(prompts, **{name: value.clone() for name, value in tensors(prompts).items()})


def changed(before: Prompts, after: Prompts) -> list[str]:
    """The fields whose numbers have changed."""
    now = tensors(after)
    return [name for name, value in tensors(before).items() if not torch.equal(value, now[name])]


def modules(subject: object) -> dict[str, nn.Module]:
    """The networks that a subject holds in its attributes."""
    names = [f.name for f in dataclasses.fields(subject)] if dataclasses.is_dataclass(subject) else []
    held = {name: getattr(subject, name) for name in (*names, *getattr(subject, "__dict__", ()))}
    return {name: value for name, value in held.items() if isinstance(value, nn.Module)}


def state(subject: object) -> dict[str, tuple[object, ...]]:
    """State of a subject's networks that must not change: weights (as two sums), modes, and numbers of hooks."""
    found: dict[str, tuple[object, ...]] = {}
    for name, network in modules(subject).items():
        for key, value in (*network.named_parameters(prefix=name), *network.named_buffers(prefix=name)):
            numbers = value.detach().double()
            found[f"the weights {key}"] = (tuple(value.shape), float(numbers.sum()), float(numbers.square().sum()))
        for key, module in network.named_modules(prefix=name):
            hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
            found[f"the hooks of {key}"] = tuple(len(kind) for kind in hooks)
            found[f"the mode (training or evaluation) of {key}"] = (module.training,)
    return found


def altered(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The names under which two mappings hold different values."""
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def fingerprint(subject: Subject, prompts: Prompts) -> dict[str, Tensor]:
    """A subject's predictions and all its activations on some prompts, by name."""
    trace = subject.trace(copy(prompts), capture=subject.sites)
    sites: dict[Site, Tensor] = dict(trace.activations)
    return {"the predictions": trace.predictions.clone(), **{str(site): value.clone() for site, value in sites.items()}}


def moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """The names under which two fingerprints differ, even by a single bit."""
    return [
        name
        for name in {**before, **after}
        if name not in before or name not in after or distance(before[name], after[name]) > 0
    ]
