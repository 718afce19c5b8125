"""The vocabulary: the values that flow from tasks to reports, and the protocol that every subject keeps.

One direction of flow::

    task -> Prompts -> subject.trace -> Trace -> instrument -> Measurement -> Record -> report
                 \\---> algorithm.run -> Iterates --/

Axis names used in every shape: ``batch example dim query step layer head position width vocab member output``.
On the ``position`` axis of an activation the queries always come last.
"""

import dataclasses
import enum
import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    import pandas

Scalar = str | int | float | bool | None


# --------------------------------------------------------------------------------------------- problems


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompts:
    """A batch of in-context regression problems.

    Every prompt shows ``example`` pairs (x, y); each of its queries is answered from that context alone, never
    from the other queries.

    Attributes:
        xs: inputs shown.
        ys: labels shown, noise included.
        queries: inputs to answer.
        targets: noiseless answers.
        target_variance: V_p, the variance of one prompt's target over the query distribution (wᵀ Σ_q w for a
            linear target). Errors are divided by it, so that prompts of different scale count alike.
        weights: the latent regression weights, where the task has them.
        strata: an integer label per prompt (which condition number it was drawn with, say). Resampling keeps the
            proportions of the strata.
        stratum_names: what the labels mean.

    Raises:
        ValueError: shapes or number types disagree, a value is not finite, a variance is not positive, or a stratum
            has no name.
    """

    xs: Float[Tensor, "batch example dim"]
    ys: Float[Tensor, "batch example"]
    queries: Float[Tensor, "batch query dim"]
    targets: Float[Tensor, "batch query"]
    target_variance: Float[Tensor, " batch"]
    weights: Float[Tensor, "batch dim"] | None = None
    strata: Int[Tensor, " batch"] | None = None
    stratum_names: tuple[str, ...] = ("all",)

    def __post_init__(self) -> None:
        if self.xs.ndim != 3:
            raise ValueError(
                f"xs must have the axes (batch, example, dim); got shape {tuple(self.xs.shape)}. "
                "Pick one prompt as prompts[i : i + 1]."
            )
        batch, examples, dim = self.xs.shape
        if self.queries.ndim != 3 or self.queries.shape[0] != batch or self.queries.shape[2] != dim:
            raise ValueError(
                f"queries must have shape ({batch}, any, {dim}) to go with xs; got {tuple(self.queries.shape)}."
            )
        expected = {
            "ys": (batch, examples),
            "targets": (batch, self.queries.shape[1]),
            "target_variance": (batch,),
            "weights": (batch, dim),
            "strata": (batch,),
        }
        for name, shape in expected.items():
            if (given := getattr(self, name)) is not None and tuple(given.shape) != shape:
                raise ValueError(f"{name} must have shape {shape} to go with xs and queries; got {tuple(given.shape)}.")
        for name in ("xs", "ys", "queries", "targets", "target_variance", "weights"):
            values: Tensor | None = getattr(self, name)
            if values is None:
                continue
            if not values.is_floating_point() or values.dtype != self.xs.dtype:
                raise ValueError(
                    f"{name} must hold floating-point numbers, of one precision throughout the prompts; got "
                    f"{values.dtype} beside xs of {self.xs.dtype}. Convert it with .to(torch.float32)."
                )
            if not bool(torch.isfinite(values).all()):
                bad = int((~torch.isfinite(values)).reshape(batch, -1).any(-1).nonzero()[0, 0])
                raise ValueError(
                    f"{name} must be finite; prompt {bad} holds NaN or infinity. Drop such prompts before passing them."
                )
        if batch and float(self.target_variance.min()) <= 0:
            raise ValueError(
                f"target_variance must be positive; got {float(self.target_variance.min())}. It is the variance of "
                "the target over the query distribution: a prompt whose target is constant cannot be scored."
            )
        if self.strata is not None and batch:
            low, high = int(self.strata.min()), int(self.strata.max())
            if low < 0 or high >= len(self.stratum_names):
                raise ValueError(
                    f"strata must be labels from 0 to {len(self.stratum_names) - 1}, places in stratum_names; got "
                    f"{low if low < 0 else high}. Name every stratum in stratum_names."
                )

    def __len__(self) -> int:
        return self.xs.shape[0]

    @property
    def dim(self) -> int:
        """How many coordinates an input has."""
        return self.xs.shape[2]

    @property
    def examples(self) -> int:
        """How many pairs a prompt shows."""
        return self.xs.shape[1]

    def __getitem__(self, index: slice | Tensor) -> "Prompts":
        """The chosen prompts, as a batch."""
        return self._map(lambda values: values[index])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Prompts":
        """The same prompts on another device or in another precision (labels of strata stay integers)."""
        return self._map(lambda v: v.to(device=device, dtype=dtype if v.is_floating_point() else None))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Prompts":
        tensors = {
            f.name: change(value)
            for f in dataclasses.fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return dataclasses.replace(self, **tensors)


class Status(enum.IntEnum):
    """What became of one prompt in an iteration. Reported, never repaired."""

    OK = 0
    SOLVED = 1  # the residual is exactly zero: later iterates repeat the solution
    BREAKDOWN = 2  # a division by zero or a direction without positive curvature: later iterates repeat the last
    DIVERGED = 3  # a value left the finite range: later iterates are NaN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Iterates:
    """What an algorithm holds after every step; index k on the ``step`` axis is the state after k steps.

    Attributes:
        predictions: answers at the queries; row 0 is the starting point (the zero predictor).
        weights: the weight vector behind them, where the algorithm has one.
        status: a `Status` per prompt.
        stopped_at: the first step whose status was not OK, or -1.
    """

    predictions: Float[Tensor, "step batch query"]
    weights: Float[Tensor, "step batch dim"] | None
    status: Int[Tensor, " batch"]
    stopped_at: Int[Tensor, " batch"]


# --------------------------------------------------------------------------------------------- subjects

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
        ValueError: unknown kind, or a layer that does not go with it.
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
            ValueError: no site prints so.
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
    """Replace what a site computes: ``edit`` gets the activation and returns one of the same shape.

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
            KeyError: it was not captured.
            ValueError: the name is no site's.
        """
        site = Site.parse(site) if isinstance(site, str) else site
        if site not in self.activations:
            held = ", ".join(map(str, self.activations)) or "none"
            raise KeyError(f"{site} was not captured; this trace holds {held}. Name it in capture=.")
        return self.activations[site]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The problems a subject can take. ``None`` means any.

    Attributes:
        dims: input dimensions.
        examples: numbers of examples in the context.
    """

    dims: tuple[int, ...] | range | None = None
    examples: tuple[int, ...] | range | None = None

    def check(self, prompts: Prompts) -> None:
        """Raise if the prompts lie outside the domain.

        Raises:
            ValueError: with the rule that was broken.
        """
        for name, allowed, actual in (("dim", self.dims, prompts.dim), ("examples", self.examples, prompts.examples)):
            if allowed is not None and actual not in allowed:
                run = isinstance(allowed, range) and allowed.step == 1 and len(allowed) > 2
                text = f"{allowed[0]} to {allowed[-1]}" if run else ", ".join(map(str, allowed))
                raise ValueError(
                    f"{name} must be {text} for this subject; got {actual}. Sample from a task that fits its domain."
                )


@runtime_checkable
class Subject(Protocol):
    """Anything that can be examined: a trained transformer, a hand-built network, a researcher's own model.

    An optional method ``reinitialised(seed) -> Subject`` gives the untrained control, and an optional attribute
    ``answers_everywhere`` says that each context input is answered from the examples before it.
    """

    @property
    def name(self) -> str:
        """A name for reports."""
        ...

    @property
    def domain(self) -> Domain:
        """The problems it can take."""
        ...

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every site that can be captured and intervened on."""
        ...

    @property
    def path(self) -> tuple[Site, ...]:
        """The residual stream after each layer, in order: the places where a layer-wise algorithm would show."""
        ...

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the model, read the sites in ``capture`` and edit those in ``interventions``.

        A site that is unknown or does not fire raises; nothing is left behind, also after an error.
        """
        ...

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """The answers that the model's own readout gives from a residual-stream activation at the query positions."""
        ...


# --------------------------------------------------------------------------------------------- results


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A case with a known answer, measured beside the case of interest.

    Attributes:
        kind: ``positive`` (the effect is known to be there) or ``negative`` (known to be absent).
        name: what was measured instead.
        value: what the same instrument said of it, in the measurement's unit.
        interval: 95 % interval, where there is one.
    """

    kind: Literal["positive", "negative"]
    name: str
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with what is needed to believe it.

    Attributes:
        instrument: which instrument made it.
        quantity: what it is, such as ``cosine``.
        value: the number.
        interval: its 95 % interval, over prompts unless the instrument says otherwise.
        n: how many independent prompts (or pairs) it rests on.
        unit: its unit; ``1`` for pure numbers.
        coordinates: where it was measured: site, target, distribution.
        controls: the same measurement on cases whose answer is known.
    """

    instrument: str
    quantity: str
    value: float
    interval: tuple[float, float] | None
    n: int
    unit: str = "1"
    coordinates: Mapping[str, Scalar] = field(default_factory=dict)
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture as data; only `mesascope.report` draws it.

    Attributes:
        name: a short unique name, used as the anchor on the page.
        section: the part of the page it belongs to.
        kind: ``lines`` (x, y, one line a ``series``), ``heatmap`` (x, y, ``value``), ``bars`` or ``table``.
        rows: the data, one mapping a mark or table row.
        x, y, value, series, facet, low, high: names of columns in ``rows``; empty where the kind has no use for them.
            ``low`` and ``high`` bound an interval around ``y``; ``facet`` repeats the picture for each of its values.
        titles: what to print instead of a column's name.
        log: the axes (``x``, ``y``) with a logarithmic scale.
    """

    name: str
    section: str
    title: str
    caption: str
    kind: Literal["lines", "heatmap", "bars", "table"]
    rows: tuple[Mapping[str, Scalar], ...]
    x: str = ""
    y: str = ""
    value: str = ""
    series: str = ""
    facet: str = ""
    low: str = ""
    high: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateScore:
    """How well one candidate describes a subject.

    Attributes:
        candidate: the family's name.
        score: progress score; 1 is exact, 0 no better than the zero predictor.
        interval: 95 % interval over prompts.
        detail: fitted coefficients, stride and offset, in words and numbers.
        excluded: why the candidate is out (a broken invariance, say); empty if it is in.
        kept: whether it is in the confidence set.
    """

    candidate: str
    score: float
    interval: tuple[float, float]
    detail: Mapping[str, Scalar]
    excluded: str = ""
    kept: bool = False


Label = Literal["identified", "indistinguishable", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one question about a subject on one distribution.

    Attributes:
        question: ``function`` (what the last layer computes) or ``path`` (what the layers do on the way).
        distribution: the distribution of prompts it holds on, in words.
        label: what the evidence supports.
        algorithms: the candidates that remain; one if identified, none if none.
        reason: why, in words.
        readout: ``own`` or ``fitted``: the readout that the answer rests on.
        scores: every candidate, best first.
        controls: the scores that a candidate had to beat.
        remainder: share of the subject's variance that the best candidate leaves and the problem determines: what comes
            back when the same is asked again.
        remainder_interval: its 95 % interval.
        remainder_regressed: the part of it that is linear in the spectral channels and the other candidates' iterates.
        n: prompts scored.
        agreement: how like each other the candidates are on these prompts (same score, 1 is equal).
    """

    question: Literal["function", "path"]
    distribution: str
    label: Label
    algorithms: tuple[str, ...]
    reason: str
    readout: Literal["own", "fitted"]
    scores: tuple[CandidateScore, ...]
    controls: tuple[Control, ...]
    remainder: float | None
    n: int
    remainder_interval: tuple[float, float] | None = None
    remainder_regressed: float | None = None
    agreement: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionVerdict:
    """Both answers on one distribution."""

    function: Answer
    path: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Which algorithm the evidence supports.

    Attributes:
        label: the answer about the path on the discriminating prompts, where the subject's domain allows them, else
            on its training distribution; ``basis`` says which.
        algorithms: the candidates that remain.
        reason: why, in words.
        basis: ``discriminating`` or ``training``.
        training, discriminating: both answers in full.
        invariances: how far the subject breaks each invariance.
        figures: the evidence as pictures.
    """

    subject: str
    label: Label
    algorithms: tuple[str, ...]
    reason: str
    basis: Literal["discriminating", "training"]
    training: DistributionVerdict
    discriminating: DistributionVerdict | None
    invariances: tuple[Measurement, ...]
    figures: tuple[Figure, ...] = ()

    def __str__(self) -> str:
        names = ", ".join(self.algorithms) or "none of the candidates"
        return f"{self.subject}: {self.label} ({names}), on the {self.basis} distribution. {self.reason}"

    def _repr_html_(self) -> str:
        return f"<p><strong>{html.escape(self.label)}</strong>: {html.escape(str(self))}</p>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything one examination found, ready to be written to disk and drawn.

    Attributes:
        subject: what was examined: name, domain, sites, spec.
        verdict: see `Verdict`.
        measurements: every number, each with its controls.
        skipped: instruments that do not apply to this subject, with the reason.
        controls: whether each instrument's known cases came out as they must, in this very run.
        figures: pictures as data.
        provenance: spec, seed, commit, versions, hardware, time spent.
    """

    subject: Mapping[str, object]
    verdict: Verdict
    measurements: tuple[Measurement, ...]
    skipped: Mapping[str, str]
    controls: tuple[Mapping[str, Scalar], ...]
    figures: tuple[Figure, ...]
    provenance: Mapping[str, object]
    schema_version: int = 1

    def table(self) -> "pandas.DataFrame":
        """The measurements as a table, one row each, one column a coordinate."""
        return table(self.measurements)

    def _repr_html_(self) -> str:
        return self.verdict._repr_html_() + self.table().to_html(max_rows=20, escape=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a run found that is not about one subject, ready to be written to disk and drawn.

    Attributes:
        title: what was done.
        sentences: what came out, as one would tell it to a colleague; the page begins with them.
        measurements: every number, each with its controls.
        controls: whether known cases came out as they must, in this very run.
        figures: pictures and tables as data.
        provenance: seed, commit, versions, hardware, time spent.
    """

    title: str
    sentences: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    controls: tuple[Mapping[str, Scalar], ...]
    figures: tuple[Figure, ...]
    provenance: Mapping[str, object]
    schema_version: int = 1

    def table(self) -> "pandas.DataFrame":
        """The measurements as a table, one row each, one column a coordinate."""
        return table(self.measurements)


_COLUMNS = ("instrument", "quantity", "value", "low", "high", "n", "unit")


def table(measurements: Sequence[Measurement]) -> "pandas.DataFrame":
    """Measurements as a pandas table: coordinates become columns, controls columns named after them.

    A coordinate that bears the name of a column that every table has is called ``coordinate: name``.
    """
    import pandas  # noqa: PLC0415  (half a second to import, and few callers need it)

    rows = [
        {
            "instrument": m.instrument,
            "quantity": m.quantity,
            **{f"coordinate: {k}" if k in _COLUMNS else k: v for k, v in m.coordinates.items()},
            "value": m.value,
            "low": m.interval[0] if m.interval else None,
            "high": m.interval[1] if m.interval else None,
            "n": m.n,
            "unit": m.unit,
            **{f"{c.kind} control: {c.name}": c.value for c in m.controls},
        }
        for m in measurements
    ]
    return pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=list(_COLUMNS))
