"""Subjects: the protocol that all of them satisfy, the sites where they are read and edited, and their domains."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from mesascope.types.problems import Prompts, Sizes

_HOOKS = {
    "embed": "hook_embed",
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "pattern": "attn.hook_pattern",
    "z": "attn.hook_z",
}
_KINDS = {hook: kind for kind, hook in _HOOKS.items()}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Site:
    """A place in a model where an activation can be read or replaced.

    Prints as, and parses from, TransformerLens' hook names: ``Site(layer=1, kind="attn_out")`` is
    ``blocks.1.hook_attn_out``. ``embed`` belongs to no layer and carries ``layer=-1``.

    Shapes: ``(batch, position, width)``; ``z`` is ``(batch, position, head, width/head)``, the heads' outputs before
    the output projection; ``pattern`` is ``(batch, head, position, position)``.

    Raises:
        ValueError: unknown kind, or a layer that does not fit the kind.
    """

    layer: int = -1
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in _HOOKS:
            raise ValueError(f"kind must be one of {', '.join(_HOOKS)}; got {self.kind!r}.")
        if (self.kind == "embed") != (self.layer == -1) or self.layer < -1:
            raise ValueError(
                f"layer must be -1 for 'embed' and 0 or more otherwise; got {self.layer} for {self.kind!r}."
            )

    def __str__(self) -> str:
        hook = _HOOKS[self.kind]
        return hook if self.kind == "embed" else f"blocks.{self.layer}.{hook}"

    @classmethod
    def parse(cls, name: str) -> "Site":
        """The site that prints as ``name``.

        Raises:
            ValueError: no site has this name.
        """
        if name == _HOOKS["embed"]:
            return cls(kind="embed")
        match = re.fullmatch(r"blocks\.(0|[1-9][0-9]*)\.(.+)", name)  # 01 would print as 1
        if match is None or match[2] not in _KINDS or match[2] == _HOOKS["embed"]:
            names = ", ".join(f"blocks.N.{h}" for k, h in _HOOKS.items() if k != "embed")
            raise ValueError(f"a site must be hook_embed or one of {names}; got {name!r}.")
        return cls(layer=int(match[1]), kind=_KINDS[match[2]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervention:
    """Replace what a site computes: ``edit`` gets the activation and returns another of the same shape.

    Interventions on one site apply in the order given, and what is captured there is the edited value.
    """

    site: Site
    edit: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """One forward pass: the answers, and the activations that were asked for."""

    predictions: Float[Tensor, "batch query"]
    activations: Mapping[Site, Tensor]

    def __getitem__(self, site: Site | str) -> Tensor:
        """The activation at a site, given as a `Site` or by its hook name.

        Raises:
            KeyError: the site was not captured.
            ValueError: no site has this name.
        """
        site = Site.parse(site) if isinstance(site, str) else site
        if site not in self.activations:
            held = ", ".join(map(str, self.activations)) or "none"
            raise KeyError(f"{site} was not captured; this trace holds {held}. Name it in capture=.")
        return self.activations[site]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The problem sizes that a subject accepts. ``None`` means any.

    Attributes:
        dims: input dimensions.
        examples: numbers of examples in the context.
        written: whether numbers are written as text, so that only those that its task draws can be asked about: no sums of
            labels, no scaled or rotated inputs.
    """

    dims: tuple[int, ...] | range | None = None
    examples: tuple[int, ...] | range | None = None
    written: bool = False

    def check(self, problems: Sizes) -> None:
        """Check that prompts, or a task before prompts are drawn from it, lie in the domain.

        Raises:
            ValueError: they do not; the message names the broken rule.
        """
        for name, allowed, actual in (("dim", self.dims, problems.dim), ("examples", self.examples, problems.examples)):
            if allowed is not None and actual not in allowed:
                run = isinstance(allowed, range) and allowed.step == 1 and len(allowed) > 2
                text = f"{allowed[0]} to {allowed[-1]}" if run else ", ".join(map(str, allowed))
                raise ValueError(
                    f"{name} must be {text} for this subject; got {actual}. Sample from a task that fits its domain."
                )


class BrokenSubject(ValueError):
    """A user's subject whose code raised, or that does not satisfy the protocol; the message names it."""


@runtime_checkable
class Subject(Protocol):
    """Anything that can be examined: a trained transformer, a hand-built network, a researcher's own model.

    Optional abilities (an untrained twin, a specification, answers at every input, a stated layout, a declared state) are in
    `mesascope.types.abilities`.
    """

    @property
    def name(self) -> str:
        """A name for reports."""
        ...

    @property
    def domain(self) -> Domain:
        """The problem sizes that it accepts."""
        ...

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every site that can be captured and intervened on."""
        ...

    @property
    def path(self) -> tuple[Site, ...]:
        """The residual stream after each layer, in order: where the steps of a layer-wise algorithm would be visible."""
        ...

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the model, read the sites in ``capture`` and edit those in ``interventions``.

        A site that is unknown or does not fire is an error. No hook stays behind, not even after an error.
        """
        ...

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """The answers of the model's own readout, from a residual-stream activation at the positions that give the answers."""
        ...


def check_description(subject: Subject) -> None:
    """Check a subject's description: its name is text, its domain a `Domain`, its sites are `Site`s.

    Raises:
        BrokenSubject: an attribute is of the wrong kind; the message names it.
    """
    wanted = {"name": (str, "text"), "domain": (Domain, "a Domain"), "sites": (Sequence, "a tuple of sites")}
    who = f"{type(subject).__name__} must be a subject, as mesascope.types.Subject describes it"
    for name, (kind, words) in (wanted | {"path": wanted["sites"]}).items():
        if not isinstance(found := getattr(subject, name), kind):
            raise BrokenSubject(f"{who}: its {name} must be {words}; got a {type(found).__name__}.")
    if not subject.name.isprintable():
        raise BrokenSubject(f"{who}: its name must consist of printable characters.")
    if not all(isinstance(site, Site) for site in (*subject.sites, *subject.path)):
        raise BrokenSubject(f"{who}: its sites and its path must consist of mesascope.types.Site.")
