"""One run of a study: its networks, its sizes, and what of it is done already."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from tqdm import tqdm

from mesascope.instruments.instrument import PROFILES, Profile
from mesascope.records import checkpoint as checkpoints
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.studies.networks import Network
from mesascope.training import train
from mesascope.types import Measured, Measurement, Subject
from mesascope.zoo import checkpoints_of, curve, load, names

_SHARE = {"smoke": 1 / 16, "laptop": 1.0, "full": 4.0}
_LEAST = 24  # prompts: fewer cannot be fitted and scored
_BRIEF = 4  # optimiser steps of a network that stands in for one that does not ship


class NotShipped(Exception):
    """A network that the zoo does not have, so that only ``smoke`` and ``full`` can be run."""


@final
class Session:
    """What a study's run has at hand.

    Networks come, by profile, from the zoo (``laptop``); from the published recipe, trained in a directory that studies
    can share, for hours and resumable (``full``); or from the zoo again, and where it has none, from a few steps of
    training that prove nothing (``smoke``).

    Attributes:
        profile: ``smoke``, ``laptop`` or ``full``.
        seed: of prompts and resampling.
    """

    def __init__(
        self,
        study: str,
        profile: Profile,
        seed: int,
        directory: Path,
        *,
        networks: Path | None = None,
        device: str = "cpu",
        progress: bool = False,
    ) -> None:
        self.study, self.profile, self.seed, self.directory, self.device = study, profile, seed, directory, device
        self.networks = directory / "networks" if networks is None else networks
        self._key = {"study": study, "profile": profile, "seed": seed}
        self._journal = Journal(directory)
        self._journal.open(f"study {study}, profile {profile}, seed {seed}", [self._key])
        self._bar = tqdm(disable=not progress, unit="part", dynamic_ncols=True)
        self._subjects: dict[str, Subject] = {}

    def prompts(self, laptop: int) -> int:
        """How many prompts to take where a laptop's run takes ``laptop``."""
        return max(min(laptop, _LEAST), round(laptop * _SHARE[self.profile]))

    def network(self, network: Network, *, step: int | None = None) -> Subject:
        """A trained network; with ``step``, one of its checkpoints.

        Raises:
            NotShipped: at profile ``laptop``, where the zoo does not have it.
        """
        name = network.ships_as if step is None else f"{network.ships_as}-step-{step}"
        if name not in self._subjects:
            self._subjects[name] = self._make(network, step)
        return self._subjects[name]

    def shipped(self, networks: Sequence[Network]) -> tuple[Network, ...]:
        """Those that can be had as they should be: where nothing is trained (any profile but ``full``), those in the zoo."""
        return tuple(n for n in networks if self.profile == "full" or n.ships_as in names())

    def checkpoints(self, network: Network) -> tuple[int, ...]:
        """The steps of its training at which it can be had, in order; of what ships, its last is not among them."""
        if (place := self._place(network)) in names():
            return checkpoints_of(place)
        return tuple(checkpoints.steps(Path(place) / "checkpoints"))

    def trajectory(self, network: Network | str) -> dict[int, Subject]:
        """The network over its training, by step: every checkpoint, and last the finished network. A name is one of the zoo's."""
        if isinstance(network, str):
            early = {step: self.reference(f"{network}-step-{step}") for step in checkpoints_of(network)}
            finished = self.reference(network)
        else:
            early = {step: self.network(network, step=step) for step in self.checkpoints(network)}
            finished = self.network(network)
        end = getattr(finished, "spec", {})["step"]
        return {step: subject for step, subject in early.items() if step < end} | {end: finished}

    def curve(self, network: Network | str) -> tuple[dict[str, float], ...]:
        """What its training logged, line by line; see `mesascope.zoo.curve`. A name is one of the zoo's."""
        return curve(network if isinstance(network, str) else self._place(network))

    def reference(self, reference: str) -> Subject:
        """Any other subject, by model reference."""
        if reference not in self._subjects:
            self._subjects[reference] = load(reference, device=self.device)
        return self._subjects[reference]

    def error(self, network: Network) -> float:
        """A network's mean squared error at the query on its training distribution, held out; infinite if it cannot be had."""
        if not self.shipped((network,)):
            return float("inf")
        extra = getattr(self.network(network), "spec", {}).get("extra", {})
        return float(extra.get("query_mse", float("inf")))

    def keep(self, name: str, measure: Callable[[], Sequence[Measurement]]) -> tuple[Measurement, ...]:
        """What ``measure`` returns; taken from disk where a run that was cut off had got so far."""
        return self.keep_part(name, lambda: Measured(measurements=tuple(measure()))).measurements

    def keep_part(self, name: str, make: Callable[[], Measured]) -> Measured:
        """As `keep`, with figures."""
        self._bar.set_description(f"{self.study}: {name}")
        key = {**self._key, "part": name, "code": provenance()}
        found = self._journal.get(key, Measured)
        if found is None:
            found = make()
            self._journal.put(key, found, name)
        self._bar.update()
        return found

    def used(self) -> dict[str, object]:
        """The networks that were examined, and what made them."""
        return {name: getattr(subject, "spec", None) for name, subject in self._subjects.items()}

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()

    def _make(self, network: Network, step: int | None) -> Subject:
        place = self._place(network)
        if step is None:
            return load(place, device=self.device)
        if place in names():
            return load(f"{place}-step-{step}", device=self.device)
        return load(str(checkpoints.stem(Path(place) / "checkpoints", step)), device=self.device)

    def _place(self, network: Network) -> str:
        """Its name in the zoo, or the directory of its run."""
        if self.profile == "full":
            return str(self._trained(network))
        if network.ships_as in names():
            return network.ships_as
        if self.profile == "laptop":
            raise NotShipped(f"the zoo has no {network.ships_as}")
        brief = dataclasses.replace(network.laptop, steps=_BRIEF, batch=8, curriculum=None)
        return str(train(brief, self.directory / "networks" / network.ships_as, resume=True, progress=False))

    def _trained(self, network: Network) -> Path:
        spec, folder = network.published, self.networks / network.name
        return train(spec, folder, resume=folder.exists(), device=self.device)


__all__ = ("PROFILES", "NotShipped", "Profile", "Session")
