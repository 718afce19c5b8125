"""The sentence that says whether a candidate takes a subject's path."""

import pytest

from mesascope.instruments.explaining.following import VARIANTS, path_sentence, spelt
from mesascope.instruments.identification.families import FAMILIES
from mesascope.types import Answer, CandidateScore, DistributionVerdict, Verdict

SCORE = CandidateScore(candidate="gradient-descent", score=0.9, interval=(0.8, 1.0), coefficients={}, timing={})


def verdict(label, algorithms=(), evidence=3, scores=(SCORE,)) -> Verdict:
    def answer(question):
        return Answer(
            question=question,
            distribution="some prompts",
            label=label,
            algorithms=tuple(algorithms),
            reason="",
            readout="own",
            scores=scores,
            controls=(),
            remainder=None,
            n=10,
            evidence=evidence,
        )

    pair = DistributionVerdict(function=answer("function"), path=answer("path"))
    return Verdict(
        subject="it",
        label=label,
        algorithms=tuple(algorithms),
        reason="",
        basis="discriminating",
        training=pair,
        discriminating=pair,
        invariances=(),
    )


@pytest.mark.parametrize(
    ("label", "algorithms", "words"),
    [
        ("identified", ["conjugate-gradient"], "Its layers take the path of conjugate gradient."),
        ("identified", ["newton-schulz:identity"], "Its layers take the path of Newton–Schulz from the identity."),
        (
            "indistinguishable",
            ["heavy-ball", "gd-plus-plus"],
            "2 candidates take its path (heavy ball, GD++): the evidence does not tell them apart.",
        ),
        ("indistinguishable", "abcde", "5 candidates take its path: the evidence does not tell them apart."),
        ("none", [], "No candidate iteration takes its path."),
    ],
)
def test_every_label_has_its_sentence(label, algorithms, words):
    assert path_sentence(verdict(label, algorithms)) == words


def test_one_layer_is_no_path():
    assert "fewer than two layers" in path_sentence(verdict("none", evidence=1))
    assert path_sentence(verdict("none", scores=())) == ""


def test_names_are_spelt():
    assert spelt("gradient-descent:per-prompt") == "gradient descent with each prompt's own coefficients"


@pytest.mark.parametrize("name", [family.name for family in FAMILIES if ":" in family.name])
def test_every_variant_is_said_in_words(name):
    variant = name.partition(":")[2]
    assert variant in VARIANTS
    assert spelt(name).endswith(VARIANTS[variant])
