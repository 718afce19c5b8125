"""This package on a GPU: its numbers against the CPU's, training together against one by one, steps per second, an examination.

Run as ``python benchmarks/gpu.py``. The machines that this package is developed on have no GPU, so it has not been run yet;
without one it says so and ends. TF32 is off, as torch has it by default for matrix products.

- Numbers: the answers of every network that ships, on the same prompts; the largest difference over the answers' scale. Allowed
  is 1e-4, because sums have another order in float32.
- Members: 36 networks of source C's controlled ablation, as in ``members.py``, on the GPU both ways.
- Steps per second: the two-layer step of ``training.py`` against the same on Hugging Face's blocks.
- ``mesascope examine two-layer``, in a process of its own, with ``--device cuda`` and without.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

import mesascope as ms
from mesascope.models.subject import TransformerSubject
from mesascope.models.transformer import Transformer
from mesascope.studies.controlled.networks import controlled_ablation
from mesascope.training import query_only, train, train_together
from mesascope.zoo import default_task, names
from training import Peer, stepper

TOLERANCE = 1e-4


def timed(do: Callable[[], object]) -> float:
    """Seconds, with everything that was sent to the GPU done."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    do()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def numbers() -> None:
    """Answers on the CPU and on the GPU."""
    worst = 0.0
    for name in names():
        here, there = ms.load(name), ms.load(name, device="cuda")
        if not isinstance(here, TransformerSubject):
            continue
        prompts = default_task(here).sample(256, seed=0)
        a = here.trace(prompts).predictions
        b = there.trace(prompts).predictions.cpu()
        worst = max(worst, float((a - b).abs().max() / a.std()))
    print(f"answers, GPU against CPU: {worst:.1e} of their scale at most (allowed {TOLERANCE:g})")


def members(steps: int) -> None:
    """Training together against one by one."""
    cells = [replace(c.spec, steps=steps) for c in controlled_ablation() if c.group == "8 dimensions"]
    with tempfile.TemporaryDirectory() as out:
        where = Path(out)
        alone = timed(lambda: [train(s, where / f"a-{s.name}", device="cuda", progress=False) for s in cells])
        runs = {where / f"b-{s.name}": s for s in cells}
        both = timed(lambda: train_together(runs, device="cuda", progress=False))
    print(
        f"{len(cells)} networks, {steps} steps: one by one {alone:.1f} s, together {both:.1f} s, {alone / both:.1f} times"
    )


def speed(repeats: int) -> None:
    """Steps per second of the two-layer network."""
    spec = query_only(2)
    config, positions = spec.model, 2 * spec.task.examples + 1
    batches = [spec.task.sample(spec.batch, seed=i, dtype=torch.float32).to("cuda") for i in range(4)]
    ours = Transformer(config).cuda()
    sizes = (config.dim, positions, config.layers, config.width, config.heads, config.feedforward)
    peer = Peer(*sizes, "gelu").cuda()
    both = {
        "ours": stepper(ours, lambda p: ours(p.xs, p.ys, p.queries), batches),
        "Hugging Face": stepper(peer, lambda p: peer(ours.tokens(p.xs, p.ys, p.queries)), batches),
    }
    for name, step in both.items():
        timed(lambda step=step: [step() for _ in range(20)])  # warm
        print(f"{name}: {repeats / timed(lambda step=step: [step() for _ in range(repeats)]):.0f} steps per second")


def examination() -> None:
    """The whole of an examination, with and without the GPU."""
    for device in ("cpu", "cuda"):
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "mesascope.cli", "examine", "two-layer", "--out", out, "--device", device]
            print(f"examine two-layer, {device}: {timed(lambda c=command: subprocess.run(c, check=True)):.1f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no GPU here that torch can use: nothing was measured.")
        return
    assert not torch.backends.cuda.matmul.allow_tf32, "TF32 must be off"
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    numbers()
    members(options.steps)
    speed(options.steps)
    examination()


if __name__ == "__main__":
    main()
