"""Does in-context learning depend on the number of heads, or on the size that comes with it?"""

from collections.abc import Sequence

from mesascope.instruments.behaving import size
from mesascope.instruments.behaving.size import HEADS, PARAMETERS
from mesascope.instruments.reading.induction import ANSWER, FRESH
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.depth_contraction import measured
from mesascope.studies.language_models.networks import LADDER, SMOLLM2
from mesascope.studies.language_models.panel import HERE, PANEL, Variable, correlated
from mesascope.studies.language_models.sequences import LENGTH
from mesascope.studies.measure import Measure, Referenced
from mesascope.studies.pictures import bars, only, table
from mesascope.studies.rules import Derived, known, pick, where
from mesascope.studies.study import Study, own, sourced
from mesascope.types import Figure, Measurement, Scalar, bounds

N = {**dict.fromkeys(LADDER, 48), SMOLLM2: 16}
BESIDE = "two-layer"
"""A network of another kind, beside which sizes stand."""
SIZE = Variable(of=where(PARAMETERS), name="parameters", log=True)
COUNT = Variable(of=where(HEADS), name="heads")
LOG_COUNT = Variable(of=where(HEADS), name="heads", log=True)
ACCURACY = Variable(of=where(ANSWER), name="accuracy on repeated blocks")


def _of(network: str, reference: str) -> tuple[Measure, ...]:
    counted = Measure(
        instrument=size.NAME,
        network=reference,
        label={"network": network},
        prompts={},
        options={"beside": {BESIDE: Referenced(reference=BESIDE)}},
        at_smoke=network in LADDER,
    )
    return (counted, measured(network, reference, LENGTH, N.get(network, 48)))


OF_SIZE = correlated(SIZE, ACCURACY, HERE)
OF_HEADS = correlated(COUNT, ACCURACY, HERE)
BEYOND_SIZE = correlated(LOG_COUNT, ACCURACY, HERE, given=SIZE)
BOTH = correlated(SIZE, LOG_COUNT, HERE)
_PUBLISHED = tuple(PANEL)


def _accuracies(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=ANSWER.name):
        for of, shown in (("trained", m), (FRESH, known(m, FRESH))):
            row = {"network": m.coordinates["network"], "of": of}
            rows.append({**row, "accuracy": shown.value, **bounds(shown.interval)})
    return bars(
        name="accuracies",
        section="The panel",
        title="Accuracy on repeated blocks, by model",
        caption="The ladder's models in order of size, each with two seeds. They were trained on repeated blocks.",
        rows=tuple(rows),
        x="network",
        y="accuracy",
        series="of",
    )


def _correlations(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for derived in (OF_SIZE, OF_HEADS, BEYOND_SIZE, BOTH):
        for m in derived.among(found):
            controls = {c.name: c.value for c in m.controls}
            rows.append({"what": m.quantity, "value": m.value, **bounds(m.interval), "n": m.n, **controls})
    return table(
        name="correlations",
        section="The panel",
        title="Correlations over the models that can be run here",
        caption="Pearson's, with Fisher's intervals, which take the models for independent ones: sizes and seeds of one family "
        "are not, so that the intervals are too narrow. Source C prints 0.90 for size, 0.53 for heads, and 0.08 for heads at a "
        "fixed size.",
        rows=tuple(rows),
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_correlations(found), _accuracies(found))


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    return tuple(
        f"{m.coordinates['network']}: {pick(found, PARAMETERS, network=m.coordinates['network']).value:.3g} million parameters; "
        f"right on blocks of {m.coordinates['symbols']} symbols in {m.value:.0%} of the cases, untrained in "
        f"{known(m, FRESH).value:.0%}."
        for m in only(found, quantity=ANSWER.name)
    )


def _partial(heads: Variable) -> Derived:
    return correlated(heads, ACCURACY, _PUBLISHED, given=SIZE, whole=True)


STUDY = Study(
    name="confounds",
    source="C",
    title="Does in-context learning depend on the number of heads, or on the size that comes with it?",
    measures=(
        *(measure for name in HERE for measure in _of(name, name)),
        *(measure for name, reference in PANEL.items() for measure in _of(name, reference)),
    ),
    claims=(
        sourced(
            "Over eleven models, the accuracy on repeated blocks grows with the logarithm of the size (r 0.90).",
            correlated(SIZE, ACCURACY, _PUBLISHED, whole=True).between(0.8, 1),
            published=("confound_control/log_params_r",),
        ),
        sourced(
            "It also grows with the number of heads (r 0.53), but not at a fixed size (0.08), whether heads are counted or their "
            "logarithm is taken.",
            correlated(COUNT, ACCURACY, _PUBLISHED, whole=True).between(0.33, 0.73),
            _partial(LOG_COUNT).between(-0.25, 0.25),
            _partial(COUNT).between(-0.25, 0.25),
            published=("confound_control/head_count_r", "confound_control/head_count_partial_r"),
        ),
        own(
            "Training matters more than size: the ladder was trained on repeated blocks, and among the models that can be run "
            "here the largest is not the most accurate, so that the correlation is negative.",
            OF_SIZE.between(high=0),
        ),
        own(
            "Here, heads and size cannot be told apart: their logarithms correlate by 0.9 or more.",
            BOTH.between(low=0.9),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Source C's 0.53 is of the number of heads and its 0.08 of its logarithm (the partial correlation of the number is "
        "0.01); here both are asked for. Which heads it counts is not said; here those of a layer.",
        "Seven models of which six are one family say little; the same is ready for source C's eleven.",
        "The rules of our own claims were written when the accuracies of the ladder by length of block, and SmolLM2's, were "
        "known.",
    ),
)
