"""What the evidence supports, in a label and in a sentence."""

from collections.abc import Sequence

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


def judge(
    *,
    names: list[str],
    best: str,
    score: float,
    low: float,
    controls: Sequence[Control],
    outdone: bool,
    multiple: tuple[float, str] | None,
    lost: tuple[int, int],
    progress: tuple[float, float],
    evidence: tuple[int, int] | None,
    elsewhere: tuple[float, tuple[float, float]] | None,
    repeated: tuple[float, tuple[float, float]],
    regressed: float,
    switching: tuple[float, float, str],
    undecidable: bool,
) -> tuple[Label, str]:
    """The label and the sentence that justifies it.

    Args:
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
    if lost[0]:
        return "none", f"It answers {lost[0]:,} of {lost[1]:,} times with NaN or infinity, all layers counted."
    if progress[1] <= 0 and not low >= OVERSHOOT:  # NaN for a subject that answers zero
        return "none", (
            f"It does not reduce the error: it removes {progress[0]:.1%} of what answering zero leaves, and the interval "
            f"reaches {progress[1]:.1%}."
        )
    for control in controls:
        high = control.interval[1] if control.interval else control.value
        if low <= high:
            return "none", (
                f"The best candidate, {best} (score {score:.3f}), is not clear of the control '{control.name}' "
                f"({control.value:.3f}, up to {high:.3f})."
            )
    if switching[0] > max(EXPLAINED, MOST * switching[1]):
        return "none", (
            f"No single candidate holds for all prompts: letting each prompt choose between {switching[2]} explains "
            f"{switching[0]:.1%} more of the subject's variance than the best one does."
        )
    if multiple is not None:
        return "none", (
            f"Its answers are {multiple[0]:.3f} times those of {multiple[1]}, which describes it significantly better than any "
            "candidate as it is."
        )
    share, (least, _) = repeated
    if least > REPEATED or regressed > EXPLAINED:
        return "none", (
            f"The nearest candidate, {best} (score {score:.3f}), leaves a remainder that the problem determines: "
            f"{share:.1%} of the subject's variance comes back when the same is asked again ({least:.1%} at the least), where "
            f"noise would give 0 and more than {REPEATED:.1%} means a different algorithm; {max(regressed, 0):.1%} is linear in "
            f"the spectral channels and the candidates' iterates, where {EXPLAINED:.0%} would be too much."
        )
    if outdone:
        return "none", (
            "A path of ridge solutions with a λ for each layer, which iterates nothing, describes it significantly better than "
            f"the best candidate, {best} (score {score:.3f}): iterations that are stopped early resemble such a path."
        )
    if undecidable and len(names) > 1:
        return "indistinguishable", (
            "All candidates agree within 1 % on these prompts: they say how well, not how. More ill-conditioned prompts "
            "would decide."
        )
    if evidence is not None and evidence[0] < min(2, evidence[1]):
        return "none", (
            f"Of its {evidence[1]} layers only {evidence[0]} changes what can be read of the answer: a function, and no path. "
            "The question of the function says what the last layer computes."
        )
    if elsewhere is not None and not elsewhere[1][1] >= ELSEWHERE:
        return "none", (
            f"Beside the layer that changes the answer most, the nearest candidate, {best} (score {score:.3f}), explains "
            f"{max(elsewhere[0], 0):.0%} of what the layers do ({max(elsewhere[1][1], 0):.0%} at the most): a function, and no "
            "path. The question of the function says what the last layer computes."
        )
    if len(names) > 1:
        named = ", ".join(names) if len(names) < 5 else f"{len(names)} candidates"
        return "indistinguishable", (
            f"{named} describe it equally well (best score {score:.3f}; simultaneous 95 % confidence set). Prompts on "
            "which these disagree more, or more of them, would decide."
        )
    return "identified", (
        f"{best} describes it with score {score:.4f} (1 is exact), significantly better than every other candidate and "
        f"clear of the controls; of the subject's variance it leaves {max(share, 0):.1%} that the problem determines."
        + ("" if evidence is None else f" {evidence[0]} of {evidence[1]} layers change the answer.")
    )
