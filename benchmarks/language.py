"""The digit-restricted lens against a full-vocabulary lens loop, and capture against a plain forward pass, on one language model.

    python benchmarks/language.py [--model smollm2] [--threads 1] [--repeats 5] [--prompts 8]

Both sides of a pair run in turn, in one process, on the same prompts, so that a busy machine slows both. The lens must be at
least 3 times faster than unembedding every position of every layer's hidden state into the whole vocabulary, with the same
numbers to 1e-4; capturing every layer's stream must take at most 1.05 times as long as a forward pass without any hook.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from mesascope.models.language import LanguageSubject, answers_by_layer
from mesascope.models.language.network import part
from mesascope.models.language.passes import run
from mesascope.models.language.tokens import plain
from mesascope.models.language.writing import encode
from mesascope.tasks import DigitRegression
from mesascope.types import Prompts
from mesascope.zoo.language import load_language_model


@torch.no_grad()
def full_lens(subject: LanguageSubject, prompts: Prompts) -> Tensor:
    """The usual loop: all hidden states, each normed and unembedded into the whole vocabulary everywhere."""
    tokens = encode(subject.writing, prompts)
    model, answers = subject.network.model, list(subject.writing.answers)
    values = torch.tensor(subject.writing.values)
    states = model.base_model(tokens.ids, output_hidden_states=True, use_cache=False).hidden_states  # type: ignore[operator]
    norm, found = part(model, subject.network.family.norm), []
    for layer, state in enumerate(states):
        normed = state if layer == len(states) - 1 else norm(state)  # the last one is normed already
        logits = subject.network.unembedding(normed)
        found.append(logits[:, -1, answers].softmax(-1) @ values)
    return torch.stack(found)[..., None]


def paired(one: Callable[[], object], other: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of each side, in turn; which of them goes first changes from repeat to repeat."""
    times: tuple[list[float], list[float]] = [], []
    for repeat in range(repeats):
        for side in (0, 1) if repeat % 2 else (1, 0):
            begin = time.perf_counter()
            (one, other)[side]()
            times[side].append(time.perf_counter() - begin)
    return times


def report(what: str, slow: list[float], fast: list[float], aim: str) -> None:
    """One line: the median of the paired ratios and their range."""
    ratios = sorted(a / b for a, b in zip(slow, fast, strict=True))
    print(
        f"{what}: {statistics.median(ratios):.3f} x ({ratios[0]:.3f} to {ratios[-1]:.3f} over {len(ratios)} pairs; {aim}); "
        f"{statistics.median(slow):.2f} s and {statistics.median(fast):.2f} s",
        flush=True,
    )


def main() -> None:
    """Time both pairs and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    subject = load_language_model(args.model)
    prompts = DigitRegression().sample(args.prompts, seed=0)
    ids = encode(subject.writing, prompts).ids
    print(f"{args.model}, {len(prompts)} prompts of {ids.shape[1]} tokens, {args.threads} thread(s)", flush=True)

    difference = float((answers_by_layer(subject, prompts) - full_lens(subject, prompts)).abs().max())
    slow, fast = paired(lambda: full_lens(subject, prompts), lambda: answers_by_layer(subject, prompts), args.repeats)
    report("full-vocabulary lens over the digits' lens", slow, fast, "must reach 3")
    print(f"largest difference between their answers: {difference:.1e} (must be at most 1e-4)", flush=True)

    base, network = subject.network.model.base_model, subject.network

    @torch.no_grad()
    def forward() -> None:
        base(ids, use_cache=False)  # type: ignore[operator]

    captured, bare = paired(lambda: run(network, plain(ids), capture=subject.path), forward, 3 * args.repeats)
    report("capture of every layer's stream over a plain forward pass", captured, bare, "must be at most 1.05")
    everything, bare = paired(lambda: run(network, plain(ids), capture=network.sites), forward, args.repeats)
    report("capture of every site over a plain forward pass", everything, bare, "no aim")


if __name__ == "__main__":
    main()
