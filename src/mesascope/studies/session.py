"""One run of a study that is written as a program: its bench, and what of it is done already."""

from collections.abc import Callable, Sequence
from typing import final

from tqdm import tqdm

from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.studies.bench import Bench
from mesascope.studies.networks import Network
from mesascope.types import Measured, Measurement, Subject, spec_of


@final
class Session:
    """What a study's run has at hand: a `mesascope.studies.bench.Bench`, and a journal.

    Attributes:
        profile: ``smoke``, ``laptop`` or ``full``.
        seed: of prompts and resampling.
    """

    def __init__(self, study: str, bench: Bench, *, progress: bool = False) -> None:
        self.study, self.profile, self.seed, self.bench = study, bench.profile, bench.seed, bench
        self._key = {"study": study, "profile": bench.profile, "seed": bench.seed}
        self._journal = Journal(bench.directory)
        self._journal.open(f"study {study}, profile {bench.profile}, seed {bench.seed}", [self._key])
        self._bar = tqdm(disable=not progress, unit="part", dynamic_ncols=True)
        self._subjects: dict[str, Subject] = {}
        self.prompts, self.shipped, self.error = self.bench.prompts, self.bench.shipped, self.bench.error
        self.checkpoints, self.curve = self.bench.checkpoints, self.bench.curve

    def network(self, network: Network, *, step: int | None = None) -> Subject:
        """As `Bench.network`; it is said in the record that it was used."""
        name = network.ships_as if step is None else f"{network.ships_as}-step-{step}"
        return self._used(name, self.bench.network(network, step=step))

    def reference(self, reference: str) -> Subject:
        """As `Bench.reference`."""
        return self._used(reference, self.bench.reference(reference))

    def trajectory(self, network: Network | str) -> dict[int, Subject]:
        """As `Bench.trajectory`."""
        found = self.bench.trajectory(network)
        name = network if isinstance(network, str) else network.ships_as
        for step, subject in found.items():
            self._used(name if step == max(found) else f"{name}-step-{step}", subject)
        return found

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
        return {name: spec_of(subject) for name, subject in self._subjects.items()}

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()

    def _used(self, name: str, subject: Subject) -> Subject:
        self._subjects[name] = subject
        return subject


__all__ = ("Session",)
