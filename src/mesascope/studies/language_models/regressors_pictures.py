"""Pictures and sentences of the study that sets language models beside regressors."""

from collections.abc import Sequence
from statistics import fmean

from mesascope.instruments.regressing import along
from mesascope.instruments.regressing.errors import DIFFERENCE, OVER_MEAN, RANK, SUBJECT, UNANSWERED
from mesascope.instruments.regressing.likelihood import ALIKE, FIRST, WHOLE
from mesascope.instruments.regressing.verdicts import LEFT, OTHERS, REMAINDER, SELF
from mesascope.instruments.statistics.ranking import critical_difference, friedman
from mesascope.studies.language_models.pooling import ANSWERS, BY, over_sets, pooled
from mesascope.studies.pictures import bars, heatmap, lines, only, table
from mesascope.studies.rules import where
from mesascope.types import Figure, Measurement, Scalar, bounds

COPYING = "knn-1-distance"
"""The regressor that copies the label of the nearest example."""
NAMED = {ANSWERS: "by its answers", WHOLE: "by the likelihood of whole numbers", FIRST: "by first tokens alone"}


def networks_of(found: Sequence[Measurement]) -> list[str]:
    """The networks that were set beside regressors, in order."""
    return list(dict.fromkeys(str(m.coordinates["network"]) for m in only(found, quantity=RANK.name)))


def sets_of(found: Sequence[Measurement], network: str) -> list[str]:
    """The data sets that a network was asked about, in order."""
    return list(dict.fromkeys(str(m.coordinates["data set"]) for m in only(found, quantity=RANK.name, network=network)))


def verdicts(found: Sequence[Measurement]) -> Figure:
    """One row for each network and data set: whose answers its own are like, and by which evidence."""
    rows = []
    for network in networks_of(found):
        for name in sets_of(found, network):
            here = {"network": network, "data set": name}
            left = only(found, quantity=LEFT, **here)
            row: dict[str, Scalar] = {**here, "verdict": left[0].coordinates["label"] if left else "no answers"}
            for by in BY:
                likest = pooled(found, by, network, (name,))
                row[NAMED[by]] = str(likest[0].coordinates["regressor"]) if likest else ""
            row["answered"] = 1 - only(found, quantity=UNANSWERED.name, **here)[0].value
            for column, quantity, who in (
                ("error over the mean's", OVER_MEAN.name, SUBJECT),
                ("error above copying", DIFFERENCE.name, COPYING),
                ("repeated remainder", REMAINDER, None),
            ):
                there = only(found, quantity=quantity, **here, **({"regressor": who} if who else {}))
                row[column] = there[0].value if there else None
            rows.append(row)
    return table(
        name="verdicts",
        section="Which regressor it is like",
        title="Whose answers a model's are like, and what its likelihoods would have said",
        caption="The verdict rests on answers: none, indistinguishable, or the one regressor left. Beside it the regressor whose "
        "numbers the model takes for likeliest, whole and by their first token alone. Errors are relative to answering the mean "
        "label; copying answers the label of the nearest example. Repeated remainder: the share of the variation of the answers "
        "that the nearest regressor leaves and that comes back with the examples in another order.",
        rows=tuple(rows),
    )


def mean_ranks(found: Sequence[Measurement], network: str) -> tuple[list[tuple[str, float]], int, int]:
    """Everybody's rank over the prompts of all data sets, the best first; how many were ranked, and on how many prompts."""
    each = only(found, quantity=RANK.name, network=network)
    names = dict.fromkeys(str(m.coordinates["regressor"]) for m in each)
    ranks = {name: [m for m in each if m.coordinates["regressor"] == name] for name in names}
    means = [(name, sum(m.value * m.n for m in rows) / sum(m.n for m in rows)) for name, rows in ranks.items()]
    blocks = sum(m.n for m in next(iter(ranks.values()), []))
    return sorted(means, key=lambda pair: pair[1]), len(means), blocks


def critical_differences(found: Sequence[Measurement]) -> Figure:
    """Mean ranks with half a critical difference on either side: two whose bars of this length don't meet differ."""
    rows, words = [], []
    for network in networks_of(found):
        ranked, members, blocks = mean_ranks(found, network)
        if members < 2:
            continue
        half = critical_difference(members, blocks) / 2
        words.append(f"{network}: {2 * half:.2f} over {blocks} prompts")
        rows += [
            {
                "network": network,
                "answers": name,
                "mean rank": rank,
                **bounds((rank - half, rank + half)),
            }
            for name, rank in ranked
        ]
    return bars(
        name="critical-differences",
        section="Errors",
        title="Mean ranks by error, and how far apart they must be",
        caption="1 is the least error on a prompt; no number comes last. Bars reach half a critical difference (Nemenyi, all "
        f"pairs together at 95 %) to either side: two that do not meet differ. Critical differences: {'; '.join(words)}. A block "
        "is a prompt, so this is about these data sets and no others.",
        rows=tuple(rows),
        x="answers",
        y="mean rank",
        facet="network",
    )


def errors(found: Sequence[Measurement]) -> Figure:
    """Errors over the mean label's, by regressor and data set."""
    rows = tuple(
        {
            "answers": m.coordinates["regressor"],
            "data set": m.coordinates["data set"],
            "network": m.coordinates["network"],
            "error": min(m.value, 2.0),
        }
        for m in only(found, quantity=OVER_MEAN.name)
    )
    return heatmap(
        name="errors",
        section="Errors",
        title="Error by data set, over that of the mean label",
        caption="Mean distance from the target over that of answering the mean of the shown labels, 2 if it is more; everybody "
        "sees the same examples.",
        rows=rows,
        x="data set",
        y="answers",
        value="error",
        facet="network",
    )


def differences(found: Sequence[Measurement]) -> Figure:
    """The model's error less each regressor's, paired, averaged over data sets."""
    each = list[tuple[float, dict[str, Scalar]]]()
    for network in networks_of(found):
        sets = sets_of(found, network)
        for name in dict.fromkeys(str(m.coordinates["regressor"]) for m in only(found, quantity=DIFFERENCE.name)):
            for m in over_sets(where(DIFFERENCE, network=network, regressor=name), sets).among(found):
                row = {"network": network, "regressor": name, "difference": m.value, **bounds(m.interval)}
                each.append((-m.value, row))
    return bars(
        name="differences",
        section="Errors",
        title="How much more the model errs than each regressor",
        caption="Error less the regressor's on the same prompts, over the mean label's, averaged over data sets; below 0 the "
        "model is better. 95 % intervals over prompts.",
        rows=tuple(row for _, row in sorted(each, key=lambda pair: pair[0])),
        x="regressor",
        y="difference",
        facet="network",
    )


def likeness(found: Sequence[Measurement]) -> Figure:
    """How much nearer every regressor is to the model's answers than one number, averaged over data sets."""
    rows = tuple(
        {"network": network, "regressor": m.coordinates["regressor"], "nearer": m.value, **bounds(m.interval)}
        for network in networks_of(found)
        for m in pooled(found, ANSWERS, network, sets_of(found, network))
    )
    return bars(
        name="likeness",
        section="Which regressor it is like",
        title="How much a model's answers are like each regressor's",
        caption="By how many variances of the target a regressor is nearer to the model's answers than one number for all "
        "prompts; below 0 it is farther. Averaged over data sets, 95 % intervals over prompts.",
        rows=rows,
        x="regressor",
        y="nearer",
        facet="network",
    )


def learning(found: Sequence[Measurement]) -> tuple[Figure, ...]:
    """Errors and regret by the number of examples, where they were measured."""
    curve, regret = only(found, quantity=along.ERROR.name), only(found, quantity=along.REGRET.name)
    drawn = (
        lines(
            name="learning-curve",
            section="Learning",
            title="Error by the number of examples",
            caption="Mean distance of the answer from the next example's label. 95 % intervals over prompts.",
            rows=tuple(
                {
                    "answers": m.coordinates["regressor"],
                    "examples": m.coordinates["examples"],
                    "error": m.value,
                    "network": m.coordinates["network"],
                    **bounds(m.interval),
                }
                for m in curve
            ),
            x="examples",
            y="error",
            series="answers",
            facet="network",
        ),
        lines(
            name="regret",
            section="Learning",
            title="Regret per answer",
            caption="What was lost beyond the regressor that lost least up to there, divided by the number of answers: learning "
            "that keeps up falls towards 0.",
            rows=tuple(
                {
                    "network": m.coordinates["network"],
                    "examples": m.coordinates["examples"],
                    "regret": m.value,
                    **bounds(m.interval),
                }
                for m in regret
            ),
            x="examples",
            y="regret",
            series="network",
        ),
    )
    return tuple(figure for figure in drawn if figure.rows)


def sentences(found: Sequence[Measurement]) -> tuple[str, ...]:
    """Which regressor each network is like by its answers, and what first tokens would have said."""
    told = []
    for network in networks_of(found):
        sets = sets_of(found, network)
        likest = {by: pooled(found, by, network, sets) for by in BY}
        if not likest[ANSWERS]:
            silent = fmean(m.value for m in only(found, quantity=UNANSWERED.name, network=network))
            told.append(f"{network} writes no number in {silent:.0%} of its answers: too few to say what it is like.")
            continue
        labels = [str(m.coordinates["label"]) for m in only(found, quantity=LEFT, network=network)]
        words = (
            f"{network}, over {len(sets)} data set{'s' * (len(sets) > 1)}: verdicts by answers "
            f"{', '.join(f'{labels.count(label)} {label}' for label in dict.fromkeys(labels))}; {_likest(likest[ANSWERS])}"
        )
        if likest[FIRST]:
            alike = fmean(m.value for m in only(found, quantity=ALIKE.name, network=network))
            words += (
                f". Whole numbers are likeliest from {likest[WHOLE][0].coordinates['regressor']}; first tokens alone would have "
                f"named {likest[FIRST][0].coordinates['regressor']}, and cannot tell {alike:.0%} of the pairs of regressors "
                "apart whose numbers differ"
            )
        ranked, members, blocks = mean_ranks(found, network)
        place = 1 + [name for name, _ in ranked].index(SUBJECT)
        chance = friedman([rank for _, rank in ranked], blocks)
        words += f". By error it comes {place} of {members} (Friedman's test that all are alike: p = {chance:.1g})."
        told.append(words)
    return tuple(told)


def _likest(pooled: Sequence[Measurement]) -> str:
    """Which regressor the answers are most like, from how much nearer each is than one number; and the model asked again."""
    nearest = pooled[0]
    low, high = nearest.interval or (nearest.value, nearest.value)
    words = f"most like {nearest.coordinates['regressor']}, nearer than one number by {nearest.value:.2f} [{low:.2f}, {high:.2f}]"
    again = [c.value for c in nearest.controls if c.name == SELF]
    others = [c.value for c in nearest.controls if c.name == OTHERS]
    words += "".join(f"; its answers to other prompts {value:.2f}" for value in others)
    return words + "".join(f"; the model asked again in another order {value:.2f}" for value in again)


__all__ = (
    "COPYING",
    "critical_differences",
    "differences",
    "errors",
    "learning",
    "likeness",
    "mean_ranks",
    "networks_of",
    "sentences",
    "sets_of",
    "verdicts",
)
