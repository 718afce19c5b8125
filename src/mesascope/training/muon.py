"""Muon: gradient descent with momentum whose steps are replaced by their orthogonal factors."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)
"""Coefficients of the iteration, as in `torch.optim.Muon`."""
MOMENTUM = 0.95
EPSILON = 1e-7
"""The smallest norm that a matrix is divided by."""


@final
class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with steps as long as Adam's, and with the factors of `orthogonal`: all matrices of a shape at once.

    Args:
        matrices: the parameters, all of two dimensions.
        rate: the learning rate.
        decay: of the weights, apart from the gradient: a step takes ``rate`` times this share of them away.

    Source: Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/), the length of a step as Adam's (Liu et al. 2025,
    arXiv 2502.16982).
    """

    def __init__(self, matrices: Sequence[nn.Parameter], rate: float, decay: float) -> None:
        super().__init__(matrices, lr=rate, weight_decay=decay, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step on every matrix that has a gradient."""
        for group in self.param_groups:
            rate, kept = group["lr"], 1 - group["lr"] * group["weight_decay"]
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in alike.items():
                factors = orthogonal(torch.stack([self._towards(parameter) for parameter in parameters]))
                for parameter, factor in zip(parameters, factors, strict=True):
                    parameter.mul_(kept).sub_(factor, alpha=rate * length(shape))

    def _towards(self, parameter: Tensor) -> Tensor:
        """The step of a parameter before it is made orthogonal."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        return nesterov(gradient, state["momentum_buffer"])


def nesterov(gradient: Tensor, momentum: Tensor) -> Tensor:
    """The step by Nesterov's momentum. The running mean of the gradients, ``momentum``, is brought up to date in place."""
    return gradient.lerp(momentum.lerp_(gradient, 1 - MOMENTUM), MOMENTUM)


def length(shape: torch.Size) -> float:
    """How much longer a step is than the learning rate says, for matrices of this shape; it makes it as long as Adam's."""
    return float(0.2 * max(shape) ** 0.5)


def orthogonal(matrices: Float[Tensor, "matrix row column"]) -> Float[Tensor, "matrix row column"]:
    """Roughly the orthogonal factor of every matrix, in bfloat16, by five steps of Newton–Schulz as in `torch.optim.Muon`.

    Many laptops have no arithmetic in bfloat16, and what torch does instead takes many times as long as float32. There the same
    numbers are multiplied and summed in float32, and every result is rounded: the same up to the order of the sums.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[1] <= matrices.shape[2]
    x = (matrices if wide else matrices.mT).bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    x = x if multiplies_bfloat16(x.device) else x.float()
    for _ in range(5):
        gram = _rounded(x @ x.mT)
        x = _rounded(torch.baddbmm(x, _rounded(torch.baddbmm(gram, gram, gram, beta=b, alpha=c)), x, beta=a))
    return (x if wide else x.mT).bfloat16()


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether torch multiplies matrices of bfloat16 fast there: on a GPU, and on a processor with AVX-512."""
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability() == "AVX512"


def _rounded(x: Tensor) -> Tensor:
    """The nearest numbers of bfloat16, in the type that they came in."""
    return x.bfloat16().to(x.dtype)
