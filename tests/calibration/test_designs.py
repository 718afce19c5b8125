"""What designed prompts buy: never more prompts than the standard ones, and the words say which prompts they are."""

import math
from dataclasses import replace

from mesascope.calibration.designs import PLACES, bought, figure, sentence


def test_a_design_needs_no_more_prompts_than_what_there_was():
    found = bought(("cg", "pcg"), 0.2, seed=3, trials=2)
    assert [m.coordinates["prompts"] for m in found] == list(PLACES)
    assert {(m.coordinates["pair"], m.coordinates["noise"], m.instrument) for m in found} == {
        ("cg, pcg", 0.2, "designs")
    }
    training, standard, designed = (m.value for m in found)
    assert designed <= min(training, standard)
    assert all(c.value == 0 for m in found for c in m.controls if c.kind == "negative")
    (row,) = figure(found).rows
    assert (row["training"], row["standard"], row["designed"]) == (training, standard, designed)
    assert row["design"]
    gain = f"{standard / designed:.1f}"
    assert sentence(found) == (
        f"Designed prompts: standard ones take {gain} to {gain} times as many to tell two candidates apart."
    )


def test_where_no_number_is_enough_the_sentence_says_so():
    found = [replace(m, value=math.inf) for m in bought(("cg", "pcg"), 0.2, seed=3, trials=1)]
    assert sentence(found) == "Designed prompts: no number of them tells two candidates apart."
