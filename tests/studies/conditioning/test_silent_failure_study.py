"""The study of silent failure: the size of its map, its figures, and the share of cells that a claim is about."""

from dataclasses import replace

import pytest

from mesascope.instruments.behaving.kernel_sweep import DRAWN, NAME, NEAR, NETWORK
from mesascope.instruments.behaving.kernel_sweep.asking import RICHARDSON, SOFTMAX, cells
from mesascope.instruments.behaving.kernel_sweep.judging import FINE, SILENT
from mesascope.instruments.behaving.silent_rule import RANK
from mesascope.report.figures import draw
from mesascope.report.tables import figure_tables
from mesascope.studies.bench import Bench
from mesascope.studies.conditioning import silent_failure as study
from mesascope.studies.conditioning.silent_failure_pictures import MAP
from mesascope.studies.measure import works
from mesascope.types import Control, Measurement


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    nowhere = tmp_path_factory.mktemp("study")
    return Bench(profile="smoke", seed=0, directory=nowhere, networks=nowhere)


def test_the_map_has_more_than_two_thousand_cells() -> None:
    mapped = [m for m in study.STUDY.measures if m.label["sweep"] == MAP]
    count = 0
    for m in mapped:
        assert m.task and (m.prompts["n"], m.options["asked"].seeds) == (64, 20)
        count += 2 * len(m.options["grid"].conditions) * len(list(cells(m.options["grid"], m.task.dim)))
    assert count == 2304
    assert {m.task.dim for m in mapped if m.task} == {2, 4, 8, 16, 32, 64, 128, 256}


def cell(class_: str, learner: str = SOFTMAX, queries: str = NEAR) -> Measurement:
    return Measurement(
        instrument=NAME,
        quantity=RANK.name,
        value=0.5,
        interval=None,
        n=10,
        coordinates={"sweep": MAP, "learner": learner, "queries": queries, "class": class_},
        controls=(Control(kind="negative", name="none", value=0.0),),
    )


def test_a_share_of_cells_stands_beside_the_networks() -> None:
    share = study._share(SILENT, SOFTMAX, NEAR)
    other = [cell(FINE, NETWORK), cell(SILENT, RICHARDSON), cell(FINE, queries=DRAWN)]
    (found,) = share.among([cell(SILENT), cell(SILENT), cell(FINE), *other])
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert [(c.name, c.value) for c in found.controls] == [(NETWORK, 0.0)]
    assert share.among([]) == ()


def test_pictures_show_what_was_measured(bench) -> None:
    chosen = [m for m in study.STUDY.measures if m.at_smoke]
    chosen = [
        m
        for m in chosen
        if m.label["sweep"] == MAP or (m.label.get("streams"), m.label.get("dim")) == ("independent", 8)
    ]
    found = [
        each
        for measure in chosen
        for work in works(measure, bench)
        for each in work.run(lambda words: None).measurements
    ]
    pictures = {figure.name: figure for figure in study.STUDY.figures(found, bench)}
    assert set(pictures) == {"silent-oracles", "silent-condition", "silent-map", "silent-classes"}
    assert len(pictures["silent-oracles"].rows) == 14
    assert len(pictures["silent-map"].rows) == 4
    for queries in (DRAWN, NEAR):
        shares = [r for r in pictures["silent-classes"].rows if (r["queries"], r["learner"]) == (queries, SOFTMAX)]
        assert sum(float(str(r["share of cells"])) for r in shares) == pytest.approx(1)
    for figure in pictures.values():
        assert figure_tables(figure) if figure.kind == "table" else draw(figure)["usermeta"]["hidden"] == 0
    said = study.STUDY.notes(found, bench)
    assert len(said) == 4 and "48 cells" in said[0]
    assert study.STUDY.figures([replace(m, quantity="other") for m in found], bench) == ()
