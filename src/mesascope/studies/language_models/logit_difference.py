"""Source D's logit differences: where in a language model one regressor's number gets ahead of another's."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mesascope.instruments.intervening import number_patching as patching
from mesascope.instruments.reading import logit_difference as instrument
from mesascope.instruments.reading.logit_difference import (
    ALL,
    ATTENTION,
    BEGUN,
    BEYOND,
    BY_LAYER,
    EARLIER,
    FRESH,
    LARGER,
    LATE,
    OF_ATTENTION,
    OF_HEAD,
    OF_MLP,
    OTHER,
    OVER_ATTENTION,
    OVER_EARLIER,
    SMALLER,
    TIED,
    TOTAL,
)
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.beyond import beyond
from mesascope.studies.language_models.networks import LADDER, SHUFFLED, SMOLLM2
from mesascope.studies.language_models.number_tasks import LLAMA, Reader, drawn, reader, readers
from mesascope.studies.language_models.regressors import WRITTEN
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import bars, heatmap, lines, only, table
from mesascope.studies.rules import Rule, known, pick, where
from mesascope.studies.study import Claim, Study, own, sourced
from mesascope.types import Figure, Measurement, Scalar, bounds

LINEAR, OWN_MEAN, OWN_LAST = ("linear-regression", "mean"), ("model", "mean"), ("model", "last")
PAIRS = (LINEAR, OWN_MEAN, OWN_LAST)
LINEAR_OVER_MEAN, *OWN = (f"{a} over {b}" for a, b in PAIRS)
"""The last two are the ones that source D finds of most value."""
ALWAYS = 1 - 1e-9
"""A share of all, but for rounding."""
NOTHING = 1.0
"""How far from 0 nats a logit difference may lie, interval and all, where nothing can be known."""
EXAMPLES = {"examples": 5, "published": 19}


def _measures(reader: Reader) -> tuple[Measure, ...]:
    few = not reader.digits
    return (
        reader.measure(instrument.NAME, {"n": 24 if few else 96}, pairs=PAIRS, split=True),
        *(
            reader.measure(patching.NAME, {"n": 24 if few else 96}, label={"pair": name}, pair=pair, each=2)
            for name, pair in zip(OWN, (OWN_MEAN, OWN_LAST), strict=True)
        ),
    )


# ------------------------------------------------------------------------------------------ pictures and notes


def _by_depth(found: Sequence[Measurement]) -> Figure:
    """The accumulated stream, beside the same after another prompt."""
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=BY_LAYER.name):
        if m.coordinates["network"] in drawn(found):
            case = f"{m.coordinates['network']}: {m.coordinates['pair']}"
            for after, shown in (("the prompt itself", m), (OTHER, known(m, OTHER)), (FRESH, known(m, FRESH))):
                place = {"case": case, "layer": m.coordinates["layer"], "after": after}
                rows.append({**place, "nats": shown.value, **bounds(shown.interval)})
    return lines(
        name="logit-difference-by-layer",
        section="After every layer",
        title="How far one number is ahead of the other in the stream, after every layer",
        caption="Logit difference of whole numbers in nats; the final norm and the probabilities are held at those of the last "
        "layer. Layer 0 is the stream that the first layer reads.",
        rows=tuple(rows),
        x="layer",
        y="nats",
        series="after",
        facet="case",
    )


def _by_part(found: Sequence[Measurement]) -> Figure:
    """The decomposed stream, with what is added after another prompt taken away."""
    rows: list[dict[str, Scalar]] = []
    for quantity, part in ((OF_ATTENTION, "attention"), (OF_MLP, "feed-forward network")):
        for m in only(found, quantity=quantity.name):
            if m.coordinates["network"] in drawn(found):
                case = f"{m.coordinates['network']}: {m.coordinates['pair']}"
                for after, shown in (("", m), (", after another prompt", known(m, OTHER))):
                    place = {"case": case, "layer": m.coordinates["layer"], "part": f"{part}{after}"}
                    rows.append({**place, "nats": shown.value, **bounds(shown.interval)})
    return lines(
        name="logit-difference-by-part",
        section="Layer by layer",
        title="What attention and feed-forward networks add to one number over the other",
        caption="In nats, beside what the same part adds to the same numbers after another prompt.",
        rows=tuple(rows),
        x="layer",
        y="nats",
        series="part",
        facet="case",
    )


def _by_head(found: Sequence[Measurement]) -> Figure:
    """What heads add, less what they add after another prompt."""
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=OF_HEAD.name):
        if m.coordinates["network"] in drawn(found):
            place = {name: m.coordinates[name] for name in ("layer", "head")}
            case = f"{m.coordinates['network']}: {m.coordinates['pair']}"
            rows.append({"case": case, **place, "nats": m.value - known(m, OTHER).value})
    return heatmap(
        name="logit-difference-by-head",
        section="Head by head",
        title="What each head adds to one number over the other, beyond what it adds after another prompt",
        caption="In nats.",
        rows=tuple(rows),
        x="layer",
        y="head",
        value="nats",
        facet="case",
    )


def _patched(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=patching.MOVED.name):
        case = f"{m.coordinates['network']}: {m.coordinates['pair']}"
        place = {"case": case, "part": m.coordinates["part"]}
        for what, shown in (("the named part", m), ("random parts of its kind", known(m, patching.RANDOM))):
            rows.append({**place, "patched": what, "nats": shown.value, **bounds(shown.interval)})
    return bars(
        name="number-patching",
        section="Patching",
        title="How far the log-odds of the model's own number over another one move if a part is patched",
        caption="Heads and feed-forward networks are named on half of the prompts, and patched on the other half with what they "
        "add after another prompt. Above 0, the log-odds move as named.",
        rows=tuple(rows),
        x="part",
        y="nats",
        series="patched",
        facet="case",
    )


def _table(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=TOTAL.name):
        case: dict[str, Any] = {name: m.coordinates[name] for name in ("network", "pair", "prompts")}
        row: dict[str, Scalar] = {**case, "n": m.n}
        for quantity in (TOTAL, LATE, EARLIER, ATTENTION):
            (one,) = only(found, quantity=quantity.name, **case)
            row |= {quantity.name: one.value, f"{quantity.name}, {OTHER}": known(one, OTHER).value}
        for quantity in (TIED, BEGUN):
            row[quantity.name] = pick(found, quantity.name, network=case["network"], pair=case["pair"]).value
        rows.append(row)
    return table(
        name="logit-difference",
        section="All layers together",
        title="The logit difference and its parts, beside the same after another prompt",
        caption="In nats. Late layers are as large a share as source D's, the last 5 of 32. Prompts with ties are left out. The "
        "prompts are split at the median error of the model's own number, a rule that was fixed before the run.",
        rows=tuple(rows),
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (_by_part(found), _by_depth(found), _by_head(found), _patched(found), _table(found))


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    sentences = []
    for m in only(found, quantity=TOTAL.name, prompts=ALL):
        case: dict[str, Any] = {name: m.coordinates[name] for name in ("network", "pair", "prompts")}
        parts = {q: only(found, quantity=q.name, **case)[0] for q in (LATE, EARLIER, ATTENTION)}
        sentences.append(
            f"{case['network']}, {case['pair']}: {m.value:.2f} nats ({OTHER} {known(m, OTHER).value:.2f}), of which late "
            f"feed-forward networks {parts[LATE].value:.2f} ({known(parts[LATE], OTHER).value:.2f}), earlier ones "
            f"{parts[EARLIER].value:.2f} ({known(parts[EARLIER], OTHER).value:.2f}), attention {parts[ATTENTION].value:.2f} "
            f"({known(parts[ATTENTION], OTHER).value:.2f})."
        )
    for m in only(found, quantity=patching.SHARE.name):
        case = {name: m.coordinates[name] for name in ("network", "pair")}
        named = [str(one.coordinates["part"]) for one in only(found, quantity=patching.MOVED.name, **case)]
        sentences.append(
            f"{case['network']}, {case['pair']}: {', '.join(named)} are named; patched together they take away {m.value:.0%} of "
            f"the prompt's effect on the log-odds, as many random parts {known(m, patching.RANDOM).value:.0%}."
        )
    return tuple(sentences)


def _late(network: str) -> list[Rule]:
    return [
        where(BEYOND[quantity], network=network, pair=tuple(OWN), prompts=ALL).between(low=0)
        for quantity in (OVER_ATTENTION, OVER_EARLIER)
    ]


def _favoured(network: str) -> Rule:
    return where(BEYOND[TOTAL], network=network, pair=LINEAR_OVER_MEAN, prompts=ALL).between(low=0)


def _patching(network: str) -> tuple[Claim, ...]:
    return (
        own(
            f"What the logit difference names in {WRITTEN.get(network, network)} makes the number: each named head and network "
            "moves it as named when patched.",
            where(patching.MOVED, network=network, pair=OWN).between(low=0),
        ),
        own(
            "Together they carry more of the prompt's effect than as many random heads and networks.",
            beyond(where(patching.SHARE, network=network, pair=OWN), patching.RANDOM).between(low=0),
        ),
    )


def _of(reference: str) -> Study:
    """The study about one model."""
    written = WRITTEN.get(reference, reference)
    return replace(
        STUDY,
        title=f"Where in {written} does one regressor's number get ahead of another's?",
        measures=_measures(reader(reference, EXAMPLES["examples"])),
        claims=(
            own(
                "The late feed-forward networks add more to the model's own number over the mean label and over the last one "
                "than all attention does, and more than the earlier networks do, beyond what they add after another prompt.",
                *_late(reference),
            ),
            own(
                f"{written} favours linear regression's number over the mean label because of the prompt: by more than after "
                "another prompt.",
                _favoured(reference),
            ),
            *_patching(reference),
        ),
    )


STUDY = Study(
    name="logit-difference",
    source="D",
    title="Where in a language model does one regressor's number get ahead of another's?",
    measures=tuple(measure for reader in readers(**EXAMPLES) for measure in _measures(reader)),
    claims=(
        sourced(
            "The important work is done by the feed-forward networks of layers 27 to 31: to the model's own number over the mean "
            "label and over the last one they add more than all attention does, and more than the earlier networks do, beyond "
            "what they add after another prompt.",
            *_late(LLAMA),
            published=("logit_difference_layers/0", "logit_difference_layers/1"),
        ),
        own("So it is in SmolLM2, with the last five of its layers.", *_late(SMOLLM2)),
        own(
            "SmolLM2 favours linear regression's number over the mean label because of the prompt: by more than after another "
            "prompt.",
            _favoured(SMOLLM2),
        ),
        own(
            "So do models that are trained on lines, in every size and with both seeds.",
            *map(_favoured, LADDER),
        ),
        own(
            "In these it is attention and not the late feed-forward networks: attention adds more, beyond another prompt.",
            *(
                where(BEYOND[OVER_ATTENTION], network=name, pair=LINEAR_OVER_MEAN, prompts=ALL).between(high=0)
                for name in LADDER
            ),
        ),
        own(
            "The model that is trained on shuffled labels favours linear regression's number no more than after another prompt, "
            f"to within {NOTHING:g} nat.",
            where(BEYOND[TOTAL], network=SHUFFLED, pair=LINEAR_OVER_MEAN, prompts=ALL).between(-NOTHING, NOTHING),
        ),
        own(
            f"Untrained networks favour no number, to within {NOTHING:g} nat.",
            *(
                where(TOTAL, control=FRESH, network=name, prompts=ALL).between(-NOTHING, NOTHING)
                for name in (*LADDER, SMOLLM2)
            ),
        ),
        *_patching(SMOLLM2),
        own(
            "Source D's comparison of first tokens would say nothing in SmolLM2: all numbers begin with the same token, a space.",
            where(BEGUN, network=SMOLLM2).between(low=ALWAYS),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Source D compares the first tokens of two numbers, takes the two numbers from its first prompt for all prompts, and "
        "shows each curve alone. Here every prompt has its own two numbers, all of their tokens count, ties are left out and "
        "counted, and beside every number stands what the same part adds to the same numbers after another prompt.",
        "Source D splits its prompts by error after having seen the results, at a bound that it does not say. Here the bound is "
        f"the median of the model's own error ({SMALLER} and {LARGER}); no claim rests on it.",
        "Source D shows 19 examples of Friedman's second function to Llama 3.1 8B, which cannot be had here without an account: "
        "profile full examines it so. SmolLM2 gets 5 examples, since its prompts take longer than those of the ladder.",
        "The rules were written before the study was run, but after its instruments had been tried on the smallest model of "
        "the ladder. Patching with the last label was added after the first run: there the prompt had the larger effect. "
        "Since that run, differences from what is after another prompt are paired by prompt; the rules are the same.",
    ),
    of=_of,
)
