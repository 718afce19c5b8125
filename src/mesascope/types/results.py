"""Results: measurements with their controls, figures as data, verdicts, records."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mesascope.types.descriptions import Description

if TYPE_CHECKING:
    import pandas

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A case with a known answer, measured beside the case of interest.

    Attributes:
        kind: ``positive`` (the effect is known to be there) or ``negative`` (known to be absent).
        name: what was measured instead.
        value: what the same instrument measured there, in the measurement's unit.
        interval: 95 % interval, if there is one.
        degenerate: why the value says nothing in this case, so that no check uses it; empty if the value is meaningful.
    """

    kind: Literal["positive", "negative"]
    name: str
    value: float
    interval: tuple[float, float] | None = None
    degenerate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with what is needed to believe it.

    Attributes:
        instrument: which instrument made it.
        quantity: what was measured, such as ``cosine``.
        value: the number.
        interval: its 95 % interval, over prompts unless the instrument says otherwise.
        n: number of independent prompts (or pairs) behind it.
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
        kind: ``lines`` (x, y, one line per ``series``), ``heatmap`` (x, y, ``value``), ``bars`` or ``table``.
        rows: the data, one mapping per mark or per table row.
        x, y, value, series, facet, low, high: names of columns in ``rows``; empty if the kind does not use them.
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
class Measured:
    """What one instrument measured on one subject.

    Attributes:
        measurements: the numbers, each with its controls.
        figures: pictures of the measurements, as data.
        skipped: why the instrument does not apply; empty if it applies.
        seconds: how long it took.
    """

    measurements: tuple[Measurement, ...] = ()
    figures: tuple[Figure, ...] = ()
    skipped: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateScore:
    """How well one candidate describes a subject.

    Attributes:
        candidate: the family's name.
        score: progress score; 1 is exact, 0 no better than the zero predictor.
        interval: 95 % interval over prompts.
        coefficients: those that were fitted, by the algorithm's names for them; ``step size of layer 2`` and the like if they
            differ between layers, ``P[2,1]`` and the like for the entries of a symmetric matrix P.
        timing: how its steps are spread over the layers, in words.
        excluded: why the candidate is excluded (for example, a broken invariance); empty if it is not.
        kept: whether it is in the confidence set.
        steps: the algorithm's step that each layer was compared with; a single step for the question ``function``.
    """

    candidate: str
    score: float
    interval: tuple[float, float]
    coefficients: Mapping[str, float]
    timing: Mapping[str, Scalar]
    excluded: str = ""
    kept: bool = False
    steps: tuple[int, ...] = ()

    @property
    def told(self) -> str:
        """The coefficients in words, those of the layers in one list; of a matrix P, the diagonal. Empty if there are none."""
        lists: dict[str, list[float]] = {}
        for name, value in self.coefficients.items():
            row, _, column = name.removeprefix("P[").removesuffix("]").partition(",")
            if name.startswith("P[") and row != column:
                continue
            what = "diagonal of P" if name.startswith("P[") else name.split(" of layer ")[0].replace("_", " ")
            lists.setdefault(what, []).append(value)
        plural = {"momentum": "momenta", "diagonal of P": "diagonal of P"}
        return "; ".join(
            f"{plural.get(what, what + 's') if len(values) > 1 else what} {', '.join(f'{v:.3g}' for v in values)}"
            for what, values in lists.items()
        )


Label = Literal["identified", "indistinguishable", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one question about a subject on one distribution.

    Attributes:
        question: ``function`` (what the last layer computes) or ``path`` (what the layers do on the way).
        distribution: the distribution of prompts that the answer is about, in words.
        label: what the evidence supports.
        algorithms: the candidates that remain; one if the label is ``identified``, empty if it is ``none``.
        reason: why, in words.
        readout: ``own`` or ``fitted``: the readout that the answer rests on.
        scores: every candidate, best first.
        controls: the scores that a candidate had to beat.
        remainder: share of the subject's variance that the best candidate leaves unexplained and that the problem determines:
            it repeats when the same problem is asked again.
        remainder_interval: the remainder's 95 % interval.
        remainder_regressed: the part of the remainder that is linear in the spectral channels and the other candidates' iterates.
        n: number of prompts scored.
        evidence: number of layers that change the answer; a path rests on these. A last layer alone shows a function, not a path.
        agreement: how similar the candidates are to one another on these prompts (the same score; 1 is equal).
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
    evidence: int | None = None
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
        label: the answer about the path on the discriminating prompts, if the subject's domain allows them, else
            on its training distribution; ``basis`` says which.
        algorithms: the candidates that remain.
        reason: why, in words.
        basis: ``discriminating`` or ``training``.
        training, discriminating: both answers in full.
        invariances: how far the subject breaks each invariance.
        figures: the evidence as pictures.
        description: what the subject computes, whatever the label; None if only the label was asked for.
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
    description: Description | None = None

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
        controls: whether each instrument's controls gave their known answers in this run.
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
    schema_version: int = 2

    def table(self) -> "pandas.DataFrame":
        """The measurements as a table, with one row each and one column per coordinate."""
        return table(self.measurements)

    def _repr_html_(self) -> str:
        return self.verdict._repr_html_() + self.table().to_html(max_rows=20, escape=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The results of a run that is not about one subject, ready to be written to disk and drawn.

    Attributes:
        title: what was done.
        sentences: the results in plain sentences; the page begins with them.
        measurements: every number, each with its controls.
        figures: pictures and tables as data.
        provenance: seed, commit, versions, hardware, time spent.
    """

    title: str
    sentences: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    figures: tuple[Figure, ...]
    provenance: Mapping[str, object]
    schema_version: int = 1

    def table(self) -> "pandas.DataFrame":
        """The measurements as a table, with one row each and one column per coordinate."""
        return table(self.measurements)


def bounds(interval: tuple[float, float] | None) -> dict[str, Scalar]:
    """An interval in the form of a figure's rows: under ``low`` and ``high``, both None if there is no interval."""
    low, high = interval or (None, None)
    return {"low": low, "high": high}


_COLUMNS = ("instrument", "quantity", "value", "low", "high", "n", "unit")


def table(measurements: Sequence[Measurement]) -> "pandas.DataFrame":
    """Measurements as a pandas table, with one column per coordinate and one per control.

    If a coordinate has the name of a standard column, its column is called ``coordinate: name``.
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
