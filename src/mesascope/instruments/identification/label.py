"""What the evidence supports, in a label and in a sentence."""

from dataclasses import dataclass

from mesascope.instruments.identification.remainder import EXPLAINED, REPEATED
from mesascope.types import Control, Label

NO_PATH = (
    "None of the chosen candidates has a path: a closed form answers at once. The question of the function says what the last "
    "layer computes."
)
NO_CANDIDATE = "Every candidate implies an invariance that the subject breaks."
MOST = 1 / 3
"""Share of what the best candidate leaves that two candidates by turns must explain, or they are no explanation either."""
ELSEWHERE = 0.8
"""Share of what the layers do, besides the one that does most, that a candidate for the path must explain. A path that goes
back and forth, of which the candidate has nothing, comes to 0.75: each change is twice what is there."""
OVERSHOOT = 0.5
"""Accelerated methods can raise the error at first. A subject that does so is taken for one only above this score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """All that a label rests on.

    Attributes:
        names: the candidates in the confidence set.
        best: the one with the highest score.
        score, low: its score, and the lower end of the interval.
        controls: negative ones, which it must be clear of.
        outdone: whether a path of ridge solutions describes the subject better.
        multiple: the factor and the candidate, if multiplying a candidate's answers describes the subject better.
        lost: how many of its answers, over all layers, are not finite, and of how many.
        progress: share of the zero predictor's error that the subject removes, and the lower end of its interval.
        evidence: how many layers change the answer, and of how many; None where only the last layer is asked about.
        elsewhere: how much of the layers' changes the best explains, the layer that changes the answer most left out, with its
            interval, whose upper end counts; None where there is one layer.
        repeated: share of the subject's variance that the best leaves and that comes back, with its interval.
        regressed: the part of it that a regression explains.
        switching: what letting each prompt choose between two candidates gains, what the best alone leaves, and which two.
        undecidable: whether all candidates agree on these prompts.
    """

    names: tuple[str, ...]
    best: str
    score: float
    low: float
    controls: tuple[Control, ...]
    outdone: bool
    multiple: tuple[float, str] | None
    lost: tuple[int, int]
    progress: tuple[float, float]
    evidence: tuple[int, int] | None
    elsewhere: tuple[float, tuple[float, float]] | None
    repeated: tuple[float, tuple[float, float]]
    regressed: float
    switching: tuple[float, float, str]
    undecidable: bool


def judge(g: Grounds) -> tuple[Label, str]:
    """The label and the sentence that justifies it."""
    if described := _not_described(g):
        return "none", described
    if g.undecidable and len(g.names) > 1:
        return "indistinguishable", (
            "All candidates agree within 1 % on these prompts: they say how well, not how. More ill-conditioned prompts "
            "would decide."
        )
    if function := _no_path(g):
        return "none", function
    if len(g.names) > 1:
        named = ", ".join(g.names) if len(g.names) < 5 else f"{len(g.names)} candidates"
        return "indistinguishable", (
            f"{named} describe it equally well (best score {g.score:.3f}; simultaneous 95 % confidence set). Prompts on "
            "which these disagree more, or more of them, would decide."
        )
    return "identified", (
        f"{g.best} describes it with score {g.score:.4f} (1 is exact), significantly better than every other candidate and "
        f"clear of the controls; of the subject's variance it leaves {max(g.repeated[0], 0):.1%} that the problem determines."
        + ("" if g.evidence is None else f" {g.evidence[0]} of {g.evidence[1]} layers change the answer.")
    )


def _not_described(g: Grounds) -> str:
    """Why no candidate describes the subject; empty if one does."""
    if g.lost[0]:
        return f"It answers {g.lost[0]:,} of {g.lost[1]:,} times with NaN or infinity, all layers counted."
    if g.progress[1] <= 0 and not g.low >= OVERSHOOT:  # NaN for a subject that answers zero
        return (
            f"It does not reduce the error: it removes {g.progress[0]:.1%} of what answering zero leaves, and the interval "
            f"reaches {g.progress[1]:.1%}."
        )
    for control in g.controls:
        high = control.interval[1] if control.interval else control.value
        if g.low <= high:
            return (
                f"The best candidate, {g.best} (score {g.score:.3f}), is not clear of the control '{control.name}' "
                f"({control.value:.3f}, up to {high:.3f})."
            )
    if g.switching[0] > max(EXPLAINED, MOST * g.switching[1]):
        return (
            f"No single candidate holds for all prompts: letting each prompt choose between {g.switching[2]} explains "
            f"{g.switching[0]:.1%} more of the subject's variance than the best one does."
        )
    if g.multiple is not None:
        return (
            f"Its answers are {g.multiple[0]:.3f} times those of {g.multiple[1]}, which describes it significantly better than "
            "any candidate as it is."
        )
    share, (least, _) = g.repeated
    if least > REPEATED or g.regressed > EXPLAINED:
        return (
            f"The nearest candidate, {g.best} (score {g.score:.3f}), leaves a remainder that the problem determines: "
            f"{share:.1%} of the subject's variance comes back when the same is asked again ({least:.1%} at the least), where "
            f"noise would give 0 and more than {REPEATED:.1%} means a different algorithm; {max(g.regressed, 0):.1%} is linear "
            f"in the spectral channels and the candidates' iterates, where {EXPLAINED:.0%} would be too much."
        )
    if g.outdone:
        return (
            "A path of ridge solutions with a λ for each layer, which iterates nothing, describes it significantly better than "
            f"the best candidate, {g.best} (score {g.score:.3f}): iterations that are stopped early resemble such a path."
        )
    return ""


def _no_path(g: Grounds) -> str:
    """Why what the layers do is no path, though the last one is described; empty if it is."""
    if g.evidence is not None and g.evidence[0] < min(2, g.evidence[1]):
        return (
            f"Of its {g.evidence[1]} layers only {g.evidence[0]} changes what can be read of the answer: a function, and no "
            "path. The question of the function says what the last layer computes."
        )
    if g.elsewhere is not None and not g.elsewhere[1][1] >= ELSEWHERE:
        value, (_, high) = g.elsewhere
        return (
            f"Beside the layer that changes the answer most, the nearest candidate, {g.best} (score {g.score:.3f}), explains "
            f"{max(value, 0):.0%} of what the layers do ({max(high, 0):.0%} at the most): a function, and no path. The question "
            "of the function says what the last layer computes."
        )
    return ""
