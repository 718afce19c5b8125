"""Subjects that are not networks: a function of the prompts gives their answers after every layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, run
from mesascope.models.taps import Taps
from mesascope.seeds import generator
from mesascope.tasks.lines import MIDDLE, UNIT, as_values
from mesascope.types import Domain, Intervention, Prompts, Site, Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scripted:
    """A subject whose stream holds, at a query, the answer of the script and the query itself.

    The change that an edit makes stays in the stream to the end, as in a residual network whose layers ignore it.

    Attributes:
        name: its name in reports.
        layers: number of layers.
        script: the answers after every layer.
        domain: the prompts that it accepts, and whether it is asked as one that reads text; any by default.
    """

    name: str
    layers: int
    script: Callable[[Prompts], Float[Tensor, "layer batch query"]]
    domain: Domain = field(default_factory=Domain)

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(Site(layer=layer, kind="resid_post") for layer in range(self.layers))

    @property
    def path(self) -> tuple[Site, ...]:
        return self.sites

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the script. See `mesascope.types.Subject`."""
        taps = Taps(self.sites, capture, interventions)
        p = prompts.to(dtype=torch.float64)
        shown = torch.cat([p.ys[..., None], p.xs], -1)
        stream, added = shown[:, :0], None
        for site, answers in zip(self.sites, self.script(p), strict=True):
            written = torch.cat([shown, torch.cat([answers[..., None], p.queries], -1)], 1)
            stream = taps(site, written if added is None else written + added)
            if interventions:
                added = (stream - written).nan_to_num(nan=0.0, posinf=float("inf"), neginf=float("-inf"))
        taps.finish()
        return Trace(predictions=stream[:, p.examples :, 0], activations=taps.activations)

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """The answers in the first channel."""
        return activation[..., 0]

    def reinitialised(self, seed: int) -> "Scripted":
        """The untrained control: in each layer, another random linear function of the query."""

        def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
            rng = generator(seed, "scripted/reinitialised", prompts.dim)
            weights = torch.randn(self.layers, prompts.dim, generator=rng, dtype=torch.float64)
            return torch.einsum("bqd,ld->lbq", prompts.queries, weights.to(prompts.queries))

        return Scripted(name=f"{self.name}, unwritten", layers=self.layers, script=script)


def followed_in_digits(name: str, algorithm: Algorithm, steps: Sequence[int]) -> Scripted:
    """As `followed`, for a subject that reads and answers digits: the algorithm works on their values, beside a constant.

    It takes the prompts of `mesascope.tasks.DigitRegression`, and regresses as `mesascope.tasks.DigitLines` has it.
    """
    index = torch.tensor(list(steps))

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        found = run(algorithm, as_values(prompts), int(index.max())).predictions[index]
        return found * UNIT + MIDDLE

    return Scripted(name=name, layers=len(index), script=script, domain=Domain(dims=(1,), written=True))


def followed(name: str, algorithm: Algorithm, steps: Sequence[int]) -> Scripted:
    """A subject whose answer after each layer is a reference algorithm's iterate at the given step."""
    index = torch.tensor(list(steps))
    return Scripted(
        name=name,
        layers=len(index),
        script=lambda prompts: run(algorithm, prompts, int(index.max())).predictions[index],
    )
