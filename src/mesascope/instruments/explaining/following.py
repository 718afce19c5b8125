"""Whether a candidate iteration takes a subject's path, in a sentence beside what the subject computes."""

from mesascope.types import Verdict

SPELT = {
    "gd-plus-plus": "GD++",
    "newton-schulz": "Newton–Schulz",
    "nesterov": "Nesterov",
    "chebyshev-iteration": "Chebyshev",
    "glm-newton": "Newton's method on the likelihood (IRLS)",
    "glm-newton-cg": "Newton's method on the likelihood",
    "glm-gradient-descent": "gradient descent on the likelihood",
    "glm-heavy-ball": "gradient descent with momentum on the likelihood",
    "glm-penalised-likelihood": "penalised likelihood",
}
VARIANTS = {
    "per-prompt": "with each prompt's own coefficients",
    "per-layer": "with coefficients of its own in every layer",
    "fixed-matrix": "with a matrix in the weights",
    "damped": "on the ridge objective",
    "raw-labels": "on the labels as they are",
    "fixed": "with one start for all prompts",
    "identity": "from the identity",
    "identity-norm": "from the identity over the largest eigenvalue",
    "trace": "from the identity over the trace",
    "frobenius": "from XᵀX over its squared norm",
    "linear": "with a linear kernel",
    "rbf": "with an RBF kernel",
    "exponential": "with an exponential kernel",
}
LISTED = 3
"""So many candidates are named, at most."""


def path_sentence(verdict: Verdict) -> str:
    """Whether a candidate takes the subject's path; empty if no candidate that has one was tried."""
    decided = verdict.discriminating if verdict.basis == "discriminating" else verdict.training
    path = (decided or verdict.training).path
    if not path.scores:
        return ""
    names = [spelt(name) for name in verdict.algorithms]
    match verdict.label:
        case "identified":
            return f"Its layers take the path of {' and '.join(names)}."
        case "indistinguishable":
            listed = f" ({', '.join(names)})" if len(names) <= LISTED else ""
            return f"{len(names)} candidates take its path{listed}: the evidence does not tell them apart."
        case _:
            if path.evidence is not None and path.evidence < 2:
                return "It takes no path that could be compared, because fewer than two layers change its answer."
            return "No candidate iteration takes its path."


def spelt(name: str) -> str:
    """A candidate's name in words: ``gradient-descent:per-prompt`` is gradient descent with each prompt's own coefficients."""
    family, _, variant = name.partition(":")
    words = SPELT.get(family, family.replace("-", " "))
    if variant.endswith("-inner"):
        count = variant.removesuffix("-inner")
        steps = "step" if count == "1" else "steps"
        return f"{words}, with {count} {steps} of conjugate gradients for each of Newton's"
    return f"{words} {VARIANTS.get(variant, variant)}".strip()


__all__ = ("path_sentence", "spelt")
