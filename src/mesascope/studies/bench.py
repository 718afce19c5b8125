"""Where a study's networks come from, by profile."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from mesascope.instruments.instrument import Profile
from mesascope.records.codec import to_json
from mesascope.studies.networks import Trained
from mesascope.studies.recorded import shipped
from mesascope.training import train, train_together
from mesascope.training.ladder import LADDER
from mesascope.training.run import on_grid
from mesascope.types import Subject, Task, history, spec_mapping, spec_of
from mesascope.zoo import curve, default_task, load, names
from mesascope.zoo.language import at_hand
from mesascope.zoo.revisions import integrity
from mesascope.zoo.shipped import PRETRAINED, is_language_model

T = TypeVar("T", bound="Trained | str")
log = logging.getLogger("mesascope")

SHARE = {"smoke": 1 / 16, "laptop": 1.0, "full": 4.0}
LEAST = 24  # prompts: fewer cannot be fitted and scored
BRIEF = 4  # optimiser steps of a network that stands in for one that does not ship
FEW = 6  # checkpoints that ``smoke`` follows a network at: those of the ladder then have the step of the forecasts


class NotShipped(Exception):
    """A network that the zoo does not have, so that only ``smoke`` and ``full`` can be run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Networks and sizes for one run of a study.

    Networks come, by profile, from the zoo (``laptop``); from the published recipe, trained in a directory that studies
    can share, for hours and resumable (``full``); or from the zoo again, and where it has none, from a few steps of
    training that prove nothing (``smoke``).

    A pretrained language model that is only on the hub is downloaded by ``full`` alone; one with a name here is downloaded
    by ``laptop`` too. Those that cannot be had are left out.

    Attributes:
        profile: ``smoke``, ``laptop`` or ``full``.
        seed: of prompts and resampling.
        directory: where the run is kept; stand-ins are trained below it.
        networks: where ``full`` trains its networks, and finds them again.
        trains: train there, at any profile, the networks whose measurements ship in a record; else they are read from it.
        device: where networks train and compute.
        named: the model that the study was asked about; it is loaded, and downloaded if need be, at any profile.
    """

    profile: Profile
    seed: int
    directory: Path
    networks: Path
    trains: bool = False
    device: str = "cpu"
    named: str | None = None

    def prompts(self, laptop: int) -> int:
        """How many prompts to take where a laptop's run takes ``laptop``."""
        return max(min(laptop, LEAST), round(laptop * SHARE[self.profile]))

    def network(self, network: Trained | str, *, step: int | None = None) -> Subject:
        """A trained network, or what a model reference names; with ``step``, as it was at this step of its training.

        Raises:
            NotShipped: at profile ``laptop``, where the zoo does not have it.
        """
        finished = self.reference(network if isinstance(network, str) else self._place(network))
        return finished if step is None else history(finished)[step]()

    def reference(self, reference: str) -> Subject:
        """Any other subject, by model reference."""
        # A language model is large, so only the last one is kept in memory.
        return (_language_model if is_language_model(reference) else _loaded)(reference, self.device)

    def task(self, network: Trained | str) -> Task:
        """The task that it was trained on."""
        return default_task(self.reference(network)) if isinstance(network, str) else network.task

    def shipped(self, networks: Sequence[T]) -> tuple[T, ...]:
        """The networks that are available, fully trained: all at profile ``full``, which trains them, else those in the zoo.

        Of pretrained language models those that can be loaded, and of the ladder those that ship.
        """
        return tuple(network for network in networks if self._available(network))

    def reads(self, network: Trained | str) -> bool:
        """Whether what is measured of a network is read from a record, because the network does not ship."""
        here = self.profile == "laptop" and not self.trains
        return here and isinstance(network, Trained) and network.ships_as not in names() and shipped(network.record)

    def spec(self, network: Trained | str) -> object:
        """The specification of a network, as it is stored in results."""
        if isinstance(network, Trained) and self.reads(network):
            return to_json(network.laptop)
        return spec_of(self.network(network))

    def prepare(self, networks: Sequence[Trained | str], *, progress: bool = False) -> None:
        """Train the networks that this run trains, as many together as can be."""
        wanted = {n.name: n.published for n in networks if isinstance(n, Trained) and self._trains(n)}
        runs = {self.networks / name: spec for name, spec in wanted.items()}
        lost = train_together(runs, resume=True, device=self.device, progress=progress)
        for why in lost.values():
            raise why

    def _trains(self, network: Trained) -> bool:
        return self.profile == "full" or (self.trains and bool(network.record))

    def _available(self, network: Trained | str) -> bool:
        if network == self.named:
            return True
        if isinstance(network, Trained):
            return self._trains(network) or network.ships_as in names() or self.reads(network)
        if network in LADDER and network not in names():
            return False
        if not is_language_model(network) or at_hand(network):
            return True
        if self.profile == "smoke" or (self.profile == "laptop" and network not in PRETRAINED):
            return False
        try:
            self.reference(network)
        except (ValueError, OSError) as error:
            log.warning("%s is left out: %s", network, error)
            return False
        return True

    def trajectory(self, network: Trained | str) -> tuple[int, ...]:
        """The steps at which a network was kept in its training, in order, the last included. A name is one of the zoo's.

        Checkpoints that are not what their names say are left out: `excluded` says which. Profile ``smoke`` takes `FEW` of the
        others, evenly many apart, the first and the last among them.
        """
        if isinstance(network, Trained) and self.reads(network):
            spec = network.laptop
            return tuple(step for step in range(1, spec.steps + 1) if on_grid(step, spec))
        faulty = self.excluded(network)
        steps = tuple(step for step in history(self.network(network)) if step not in faulty)
        if self.profile != "smoke" or len(steps) <= FEW:
            return steps
        return tuple(steps[round(i * (len(steps) - 1) / (FEW - 1))] for i in range(FEW))

    def excluded(self, network: Trained | str) -> dict[int, str]:
        """By step, what is wrong with a network's checkpoints, found by hashing all of them."""
        if self.reads(network):
            return {}
        subject = self.network(network)
        if len(history(subject)) < 2:
            return {}
        if isinstance(network, str) and (":" in network or is_language_model(network)):  # hashed when they were loaded
            return {int(step): why for step, why in spec_mapping(subject).get("excluded", {}).items()}
        return _faulty(network if isinstance(network, str) else self._place(network))

    def curve(self, network: Trained | str) -> tuple[dict[str, float], ...]:
        """What its training logged, line by line; see `mesascope.zoo.curve`. A name is one of the zoo's."""
        return curve(network if isinstance(network, str) else self._place(network))

    def error(self, network: Trained) -> float:
        """A network's mean squared error at the query on its training distribution, held out; infinite if it does not ship."""
        if not self.shipped((network,)):
            return float("inf")
        extra = (spec_of(self.network(network)) or {}).get("extra", {})
        return float(extra.get("query_mse", float("inf")))

    def _place(self, network: Trained) -> str:
        """Its name in the zoo, or the directory of its run."""
        if self._trains(network):
            folder = self.networks / network.name
            return str(train(network.published, folder, resume=folder.exists(), device=self.device))
        if network.ships_as in names():
            return network.ships_as
        if self.profile == "laptop":
            raise NotShipped(f"the zoo has no {network.ships_as}")
        brief = dataclasses.replace(network.laptop, steps=BRIEF, batch=8, curriculum=None)
        return str(train(brief, self.directory / "networks" / network.ships_as, resume=True, progress=False))


@lru_cache(maxsize=32)
def _faulty(reference: str) -> dict[int, str]:
    return integrity(reference).excluded


@lru_cache(maxsize=32)
def _loaded(reference: str, device: str) -> Subject:
    return load(reference, device=device)


@lru_cache(maxsize=1)
def _language_model(reference: str, device: str) -> Subject:
    return load(reference, device=device)


__all__ = ("Bench", "NotShipped")
