"""A device that is pretended: ``pretended:0``. Its tensors keep their numbers on the CPU, and refuse what a GPU's refuse.

Where there is no GPU, this shows whether code that runs on the CPU would run on one: torch's operations and autograd take such a
tensor for one of another device, and an operation on tensors of two devices is an error. What it does not show is the speed of
a GPU, nor its rounding.

It is strict where a GPU is, with one exception: a CPU tensor without dimensions is let through by every operation.

Importing this module adds the device to torch for the rest of the process, so tests do it in a process of their own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"
_setup_privateuseone_for_python_backend(NAME)
DEVICE = torch.device(NAME, 0)
aten = torch.ops.aten
MOVES = (aten._to_copy.default, aten.copy_.default, aten._copy_from.default)
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
"""Their indices may be on the CPU, if the tensor that is indexed is not."""


class Pretended(Tensor):
    """A tensor on the pretended device.

    Attributes:
        held: its numbers, on the CPU; views of one tensor hold views of one memory.
    """

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Pretended":
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"Pretended({self.held!r})"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == Tensor.data.__set__:  # torch puts other memory under this tensor, past its operations
            args[0].held = args[1].held
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, *args, **(kwargs or {}))


def computed(func: Any, *args: Any, **kwargs: Any) -> Any:
    """What an operation gives, computed on the CPU.

    Raises:
        RuntimeError: its tensors are on two devices, or it draws there by a generator of the CPU.
        NotImplementedError: it gives a tensor another shape in place.
    """
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    asked = kwargs.get("device")
    there = any(isinstance(t, Pretended) for t in tensors) if asked is None else asked.type == NAME
    if there and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{func} draws on {NAME}, and its generator is on the CPU")
    if func not in MOVES:
        check_together(func, args, tensors)
    own = {id(_held(t)): t for t in tensors}
    if asked is not None:
        kwargs["device"] = torch.device("cpu")
    plain, named = tree_map_only(Tensor, _held, (args, kwargs))
    if func is aten._copy_from.default:
        plain[1].copy_(plain[0])
        return args[1]
    found = func(*plain, **named)
    if any(t.shape != _held(t).shape for t in tensors):
        raise NotImplementedError(f"{func} changed a shape in place, which tensors on {NAME} cannot follow")
    new: Callable[[Tensor], Tensor] = Pretended if there else lambda t: t
    return tree_map_only(Tensor, lambda t: own[id(t)] if id(t) in own else new(t), found)


def check_together(func: Any, args: Any, tensors: list[Tensor]) -> None:
    """Check that an operation's tensors are on one device.

    Raises:
        RuntimeError: they are on two.
    """
    must = [args[0], *args[2:3]] if func in INDEXED and isinstance(args[0], Pretended) else tensors
    must = [t for t in must if isinstance(t, Tensor)]
    if any(isinstance(t, Pretended) for t in must) and any(not isinstance(t, Pretended) and t.ndim for t in must):
        places = ", ".join(f"{tuple(t.shape)} on {NAME if isinstance(t, Pretended) else 'the CPU'}" for t in must)
        raise RuntimeError(f"{func} of tensors on two devices: {places}")


def _held(tensor: Tensor) -> Tensor:
    return tensor.held if isinstance(tensor, Pretended) else tensor


def _of(operation: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: computed(operation, *args, **kwargs)


def _makes_tensors(operation: Any) -> bool:
    """Whether it makes a tensor of nothing, such as a range, and does not do so by other operations."""
    kinds = {argument.name: str(argument.type) for argument in operation._schema.arguments}
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd")
    return "device" in kinds and not composite and not any("Tensor" in kind for kind in kinds.values())


def _register() -> list[torch.library.Library]:
    """Have torch call `computed` for the device; for ranges too, which torch makes by a change of shape in place."""
    everything, own = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    everything.fallback(computed, "PrivateUse1")
    own.impl("_copy_from", _of(aten._copy_from.default), "PrivateUse1")
    for name in sorted(torch._C._dispatch_get_all_op_names()):
        space, _, rest = name.partition("::")
        base, _, overload = rest.partition(".")
        if space == "aten" and (packet := getattr(aten, base, None)) is not None:
            operation = getattr(packet, overload or "default", None)
            if operation is not None and _makes_tensors(operation):
                own.impl(rest, _of(operation), "PrivateUse1")
    return [everything, own]


_REGISTERED = _register()
