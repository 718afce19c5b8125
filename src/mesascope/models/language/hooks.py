"""The hooks of one forward pass, on the wanted sites only. They are removed after it, also after an error."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mesascope.models.language.network import Network, part
from mesascope.types import Site

Touch = Callable[[Site, Tensor], Tensor]
"""Gets what a site computes, and returns what the model goes on with."""
SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


@contextlib.contextmanager
def hooks(network: Network, wanted: frozenset[Site], touch: Touch) -> Iterator[None]:
    """The hooks of one pass, on the wanted sites only."""
    with contextlib.ExitStack() as stack:
        blocks, row = network.blocks, network.family
        patterns = _Patterns(touch)
        for site in network.sites:
            if site not in wanted:
                continue
            block = blocks[max(site.layer, 0)]
            handles: list[Any] = []
            if site.kind in ("embed", "resid_pre"):
                handles.append(block.register_forward_pre_hook(_input(site, touch)))
            elif site.kind == "resid_mid":
                handles.append(part(block, row.middle).register_forward_pre_hook(_middle(site, touch)))
            elif site.kind == "z":
                handles.append(
                    part(block, row.projection).register_forward_pre_hook(_heads(site, touch, network.heads))
                )
            elif site.kind == "pattern":
                attention = part(block, row.attention)
                handles.append(attention.register_forward_pre_hook(patterns.enter(site)))
                handles.append(attention.register_forward_hook(patterns.leave))
            else:
                where = {"attn_out": row.attention_added, "mlp_out": row.feedforward_added, "resid_post": ""}[site.kind]
                handles.append(part(block, where).register_forward_hook(_output(site, touch)))
            for handle in handles:
                stack.callback(handle.remove)
        if any(site.kind == "pattern" for site in wanted):
            stack.enter_context(patterns)
        yield


def _input(site: Site, touch: Touch) -> Callable[..., Any]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (touch(site, inputs[0]), *inputs[1:])

    return hook


def _middle(site: Site, touch: Touch) -> Callable[..., Any]:
    """The stream itself goes on beside the module that reads it, so an edit is written into the stream's own memory."""

    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        new = touch(site, inputs[0])
        if new is not inputs[0]:
            inputs[0].copy_(new)

    return hook


def _heads(site: Site, touch: Touch, heads: int) -> Callable[..., Any]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (touch(site, inputs[0].unflatten(-1, (heads, -1))).flatten(-2), *inputs[1:])

    return hook


def _output(site: Site, touch: Touch) -> Callable[..., Any]:
    """Some families' modules return the stream alone, others return it first in a tuple."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return (touch(site, output[0]), *output[1:]) if isinstance(output, tuple) else touch(site, output)

    return hook


class _Patterns(TorchFunctionMode):
    """Touches what the softmax inside a layer's attention returns; in effect within one pass."""

    def __init__(self, touch: Touch) -> None:
        super().__init__()
        self._touch = touch
        self._inside: Site | None = None
        self._found = False

    def enter(self, site: Site) -> Callable[..., None]:
        """The hook that runs before a layer's attention."""

        def hook(*_: Any) -> None:
            self._inside, self._found = site, False

        return hook

    def leave(self, *_: Any) -> None:
        """The hook that runs after it."""
        self._inside = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, and touch its result if it is the softmax that is looked for."""
        result = func(*args, **(kwargs or {}))
        if self._inside is None or func not in SOFTMAX:
            return result
        if self._found:
            raise RuntimeError(
                f"{self._inside} must be the only softmax in the attention of its layer; there is another. Leave patterns out."
            )
        self._found = True
        return self._touch(self._inside, result)
