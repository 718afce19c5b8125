"""The studies of where a number is made: about any model, and what they draw."""

from pathlib import Path

import pytest

from mesascope.studies import STUDIES, run_study
from mesascope.studies.language_models.logit_difference import OWN
from mesascope.studies.language_models.number_attention import NOTED
from mesascope.studies.language_models.number_tasks import LLAMA, drawn, readers
from mesascope.studies.rules import Derived, Where
from mesascope.types import Measurement

NAMES = ("logit-difference", "number-attention", "number-mlp")


@pytest.mark.parametrize("name", NAMES)
def test_the_sources_claims_are_about_its_own_model_and_need_it(name: str) -> None:
    for claim in STUDIES[name].claims:
        if not claim.own:
            parts = [
                part
                for evidence in (rule.evidence for rule in claim.rules)
                for part in (evidence.uses if isinstance(evidence, Derived) else (evidence,))
                if isinstance(part, Where)
            ]
            assert parts and all(part.coordinates["network"] == (LLAMA,) for part in parts)


def test_heads_and_layers_are_those_that_the_source_prints() -> None:
    cited = [o for name in NAMES for claim in STUDIES[name].claims for o in claim.published]
    assert len(cited) == 2 + 2 * len(NOTED)
    assert OWN == ["model over mean", "model over last"]


def test_what_is_examined_where_it_can_be_had() -> None:
    last = readers(5, published=19)[-1]
    assert (last.name, last.task.examples, last.task.dim) == (LLAMA, 19, 4)
    assert not last.at_smoke and last.options["template"].before_label == "\nOutput:"


@pytest.mark.parametrize("name", ["number-attention", "number-mlp"])
def test_a_study_about_one_model(name: str, tmp_path: Path) -> None:
    result = run_study(name, tmp_path, profile="smoke", model="ladder-medium")
    assert "ladder-medium" in result.title
    assert {m.coordinates["network"] for m in result.measurements} == {"ladder-medium"}
    assert all(outcome.evidence for outcome in result.outcomes)
    assert all(figure.rows for figure in result.figures)


def test_two_of_the_ladder_are_drawn_beside_others() -> None:
    def of(*networks: str) -> list[Measurement]:
        blank = {"instrument": "i", "quantity": "q", "value": 0.0, "interval": None, "n": 1}
        return [Measurement(**blank, coordinates={"network": network}) for network in networks]

    assert drawn(of("ladder-small", "ladder-medium", "smollm2")) == ("ladder-small", "smollm2")
    assert drawn(of("ladder-medium")) == ("ladder-medium",)
