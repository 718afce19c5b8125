"""The label that the evidence supports, and the sentence that says why."""

from dataclasses import dataclass

from mesascope.instruments.identification.remainder import EXPLAINED, REPEATED
from mesascope.types import Control, Label

NO_PATH = (
    "None of the chosen candidates has a path, since a closed form answers in one step. The answer to the question of the "
    "function says what the last layer computes."
)
NO_FUNCTION = (
    "None of the chosen candidates answers this question: with coefficients for every layer, or a matrix, the last layer could "
    "be nearly any function. The answer to the question of the path says what the layers do."
)
NO_CANDIDATE = "Every candidate implies an invariance that the subject breaks."
FLEXIBLE = 5e-4
"""As `REPEATED`, for a candidate with coefficients for every layer or a matrix, which comes near paths that it does not take.
Chosen on calibration panel T. It holds for a candidate that ignores the link of binary labels or counts as well, and for what a
regression explains of its remainder too: where predictors are small, it comes near the same method on the likelihood, momentum
for example, which need not be a candidate, and differs from it on few prompts."""
MOST = 1 / 3
"""The share of the best candidate's remainder that a choice between two candidates for each prompt must explain to count."""
ELSEWHERE = 0.8
"""The share of the layers' changes, without the layer that changes most, that a candidate for the path must explain. If the path
alternates and the candidate follows none of it, the share is 0.75: each change is twice the distance from the candidate."""
OVERSHOOT = 0.5
"""Accelerated methods can raise the error at first. A subject that raises it is identified only with a score above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """The evidence from which a label is decided.

    Attributes:
        names: the candidates in the confidence set.
        best: the candidate with the highest score.
        flexible: whether that has coefficients for every layer, or a matrix.
        ignores_link: whether labels are binary or counts, and it regresses on them with squared error.
        coefficients: its coefficients in words; empty if it has none.
        score, low: its score, and the lower end of the score's interval.
        controls: the negative controls, which ``low`` must exceed.
        outdone: whether a path of ridge solutions describes the subject better.
        multiple: the factor and the candidate, if a candidate's answers times a factor describe the subject better.
        lost: how many of the subject's answers, over all layers, are not finite, and of how many.
        progress: the share of the zero predictor's error that the subject removes, and the lower end of its interval.
        evidence: how many layers change the answer, and of how many; ``None`` for the question of the function.
        elsewhere: the share of the layers' changes that the best candidate explains, without the layer that changes the
            answer most, and its interval, whose upper end counts; ``None`` if there is one layer.
        repeated: the share of the subject's variance that the best candidate leaves and that is repeated when the prompts are
            asked again, with its interval.
        regressed: the share of the subject's variance that a regression of the remainder explains.
        switching: the gain if each prompt may choose between two candidates, what the best one leaves, and which two.
        undecidable: whether all candidates agree on these prompts.
    """

    names: tuple[str, ...]
    best: str
    flexible: bool
    ignores_link: bool
    coefficients: str
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
    """The label, and the sentences that justify it."""
    if described := _not_described(g):
        return "none", described
    if g.undecidable and len(g.names) > 1:
        return "indistinguishable", (
            "All candidates agree within 1 % on these prompts, so the prompts cannot tell them apart. More ill-conditioned "
            "prompts would decide."
        )
    if function := _no_path(g):
        return "none", function
    if len(g.names) > 1:
        named = ", ".join(g.names) if len(g.names) < 5 else f"{len(g.names)} candidates"
        return "indistinguishable", (
            f"{named} describe it equally well (best score {g.score:.3f}; simultaneous 95 % confidence set). More prompts, or "
            "prompts on which these candidates disagree more, would decide."
        )
    named = f"{g.best} ({g.coefficients})" if g.coefficients else g.best
    return "identified", (
        f"{named} describes it with score {g.score:.4f} (1 is exact), significantly better than the controls and every "
        f"other candidate, larger families that contain it apart; it leaves {max(g.repeated[0], 0):.1%} of the subject's "
        "variance that the problem determines."
        + ("" if g.evidence is None else f" {g.evidence[0]} of {g.evidence[1]} layers change the answer.")
    )


def _not_described(g: Grounds) -> str:
    """The reason why no candidate describes the subject; empty if one does."""
    if g.lost[0]:
        return f"It answers {g.lost[0]:,} of {g.lost[1]:,} times with NaN or infinity, counted over all layers."
    if g.progress[1] <= 0 and not g.low >= OVERSHOOT:  # NaN for a subject that answers zero
        return (
            f"It does not reduce the error: it removes {g.progress[0]:.1%} of the error of answering zero, and the interval "
            f"begins at {g.progress[1]:.1%}."
        )
    for control in g.controls:
        high = control.interval[1] if control.interval else control.value
        if g.low <= high:
            return (
                f"The best candidate, {g.best} (score {g.score:.3f}), is not clearly above the control '{control.name}' "
                f"({control.value:.3f}, up to {high:.3f})."
            )
    alike = g.undecidable and len(g.names) > 1
    if not alike and g.evidence is not None and g.evidence[0] < min(2, g.evidence[1]):
        return (
            f"Of its {g.evidence[1]} layers only {g.evidence[0]} changes the answer that can be read: a function, and no path. "
            "The answer to the question of the function says what the last layer computes."
        )
    if g.switching[0] > max(EXPLAINED, MOST * g.switching[1]):
        return (
            f"No single candidate holds for all prompts: letting each prompt choose between {g.switching[2]} explains "
            f"{g.switching[0]:.1%} more of the subject's variance than the best one does."
        )
    if g.multiple is not None:
        return (
            f"Its answers are {g.multiple[0]:.3f} times those of {g.multiple[1]}, which describes it significantly better than "
            "any candidate without a factor."
        )
    share, (least, _) = g.repeated
    limit = FLEXIBLE if g.flexible or g.ignores_link else REPEATED
    explained = FLEXIBLE if g.ignores_link else EXPLAINED
    if least > limit or g.regressed > explained:
        return (
            f"The nearest candidate, {g.best} (score {g.score:.3f}), leaves a remainder that the problem determines: "
            f"{share:.1%} of the subject's variance ({least:.1%} at least) is repeated when the prompts are asked again, where "
            f"noise would give 0 and more than {limit:.2%} means a different algorithm; {max(g.regressed, 0):.1%} is linear "
            f"in the spectral channels and the candidates' iterates, where more than {100 * explained:g}% is too much."
        )
    if g.outdone:
        return (
            "A path of ridge solutions, one λ per layer, is no iteration but describes it significantly better than the best "
            f"candidate, {g.best} (score {g.score:.3f}): iterations that are stopped early resemble such a path."
        )
    return ""


def _no_path(g: Grounds) -> str:
    """The reason why the layers follow no candidate's path though the last layer is described; empty if they do."""
    if g.elsewhere is not None and not g.elsewhere[1][1] >= ELSEWHERE:
        value, (_, high) = g.elsewhere
        return (
            f"Without the layer that changes the answer most, the nearest candidate, {g.best} (score {g.score:.3f}), explains "
            f"{max(value, 0):.0%} of the layers' changes ({max(high, 0):.0%} at most): a function, and no path. The answer to "
            "the question of the function says what the last layer computes."
        )
    return ""
