"""A step of Muon: ours against `torch.optim.Muon`, on the matrices of a transformer's blocks.

Torch multiplies in bfloat16, for which many laptops have no arithmetic; ours multiplies in float32 there, and rounds as torch
does. They take turns with the same gradients; ratios are of neighbours, and their median is quoted with the extremes. What is
left between the two weights at the end is printed, beside how far they have moved.

    python benchmarks/muon.py [--pairs 15] [--threads 1] [--layers 8]
"""

import argparse
import platform
import statistics
import time
from collections.abc import Sequence

import torch
from torch import nn

from mesascope.models.transformer import Transformer
from mesascope.training import query_only
from mesascope.training.muon import Muon, multiplies_bfloat16

RATE = 1e-3


def matrices(layers: int) -> list[nn.Parameter]:
    """The matrices of the blocks of a new network."""
    torch.manual_seed(0)
    blocks = Transformer(query_only(layers).model).blocks
    return [p for p in blocks.parameters() if p.ndim == 2]


def seconds(optimiser: torch.optim.Optimizer) -> float:
    """Wall-clock seconds of a step."""
    start = time.perf_counter()
    optimiser.step()
    return time.perf_counter() - start


def distance(a: Sequence[nn.Parameter], b: Sequence[nn.Parameter]) -> float:
    """The root of the mean squared difference, over all numbers."""
    return float(torch.cat([(p - q).detach().flatten() for p, q in zip(a, b, strict=True)]).square().mean().sqrt())


def main() -> None:
    """Print the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start, own, theirs = (matrices(options.layers) for _ in range(3))
    ours = Muon(own, RATE, 0.0)
    torchs = torch.optim.Muon(theirs, lr=RATE, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    pairs = []
    for _ in range(options.pairs + 1):
        for p, q in zip(own, theirs, strict=True):
            p.grad = torch.randn(p.shape)
            q.grad = p.grad.clone()
        pairs.append((seconds(torchs), seconds(ours)))
    ratios = [a / b for a, b in pairs[1:]]  # the first step makes buffers
    print(
        f"{platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, {options.threads} threads, "
        f"torch {torch.__version__}"
    )
    kind = "bfloat16" if multiplies_bfloat16(torch.device("cpu")) else "float32"
    print(f"{options.layers} layers, {len(own)} matrices, ours multiplied in {kind}")
    reference, found = (statistics.median(each) * 1e3 for each in zip(*pairs[1:], strict=True))
    print(f"torch's {reference:.1f} ms, ours {found:.1f} ms")
    print(f"median {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}] times as fast")
    print(f"the two weights differ by {distance(own, theirs):.1e}, after moving by {distance(own, start):.1e}")


if __name__ == "__main__":
    main()
