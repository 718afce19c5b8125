"""Capturing activations of a forward pass and editing them, without hooks that could stay behind.

A network calls its `Taps` with every activation; nothing is registered, so nothing can stay behind after an error.
"""

from collections.abc import Sequence

from torch import Tensor

from mesascope.types import Intervention, Site


class Taps:
    """The captures and interventions of one forward pass.

    Raises:
        ValueError: the subject does not have one of the sites.
    """

    def __init__(
        self, sites: Sequence[Site], capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> None:
        self._capture = frozenset(capture)
        self._edits: dict[Site, list[Intervention]] = {}
        for intervention in interventions:
            self._edits.setdefault(intervention.site, []).append(intervention)
        self.wanted = self._capture | self._edits.keys()
        unknown = sorted(self.wanted - set(sites))
        if unknown:
            raise ValueError(
                f"site must be one of the subject's {len(sites)} sites; got {unknown[0]}. See subject.sites."
            )
        self.fired: set[Site] = set()
        self.activations: dict[Site, Tensor] = {}

    def __call__(self, site: Site, value: Tensor) -> Tensor:
        """The activation, edited if there is an intervention at the site, and stored if the site is captured.

        Raises:
            ValueError: an edit changes the shape.
        """
        if site not in self.wanted:
            return value
        self.fired.add(site)
        for intervention in self._edits.get(site, ()):
            edited = intervention.edit(value)
            if edited.shape != value.shape:
                raise ValueError(
                    f"an intervention must keep the shape; at {site} it turned {tuple(value.shape)} into "
                    f"{tuple(edited.shape)}."
                )
            value = edited
        if site in self._capture:
            self.activations[site] = value
        return value

    def finish(self) -> None:
        """Check that every requested site fired.

        Raises:
            RuntimeError: a requested site did not fire.
        """
        silent = sorted(self.wanted - self.fired)
        if silent:
            raise RuntimeError(f"{silent[0]} was requested but did not fire in this pass: the model never computed it.")
