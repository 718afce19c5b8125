"""True statements are proved, false ones rejected by everybody, and every hypothesis earns its place."""

import dataclasses
import importlib
import json
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from mesascope.cli import main
from mesascope.commands.index import index
from mesascope.theory import STATEMENTS, check, numeric, smt
from mesascope.theory.checking import decide, needs, prove, prove_in_lean, satisfiable, try_floats, try_fractions
from mesascope.theory.exporting import export, files
from mesascope.theory.expressions import All, Every, Natural, Sum, absolute, equals, exp, variables
from mesascope.theory.mathematics import mathematics
from mesascope.theory.quantities import a, a_1, a_2, b, d, energies, eta, i, k, u, w, w_star, weights
from mesascope.theory.statement import Statement

pytestmark = pytest.mark.usefixtures("unchecked")  # trees have no shapes to check, and every node of one would be
checking = importlib.import_module("mesascope.theory.checking")  # the package has a function of this name
SOURCE_KEYS = (
    *(f"A{n}" for n in range(1, 8)),
    "loss_decrease",
    "error_recursion",
    *(f"B{n}" for n in range(1, 8)),
    *(f"C{n}" for n in range(1, 5)),
    *(f"{group}{n}" for group in ("D", "V", "M", "MN") for n in range(1, 4)),
)
BY_KEY = {statement.key: statement for statement in STATEMENTS}


def false(key: str, conclusion, *hypotheses) -> Statement:
    return Statement(
        key=key, name="false", words="False.", hypotheses=hypotheses, conclusion=conclusion, source="", used=""
    )


FALSE = (
    false("false_sign", equals(eta * (b - a * w), eta * (a * w - b))),
    false("false_strict", (1 - eta * a) ** 2 < 1, eta * a >= 0, eta * a <= 2),
    false("false_window", (1 - u) ** 2 <= 1, u >= 0),
    false("false_rate", equals((1 - eta * a_1) ** 2, ((a_2 - a_1) / (a_2 + a_1)) ** 3), equals(eta * (a_1 + a_2), 2)),
    false("false_exp", exp(u) * w <= 0),
    false("false_size", absolute(u + w) <= absolute(u)),
    false("false_row", equals(weights[0, 1], weights[1, 0])),
    false(
        "false_sum", Sum(index=k, length=d, term=energies[k]) <= 0, Every(index=k, length=d, formula=energies[k] >= 0)
    ),
)


@pytest.fixture(scope="module")
def coqc() -> str:
    path = shutil.which("coqc")
    if path is None:
        reason = "no coqc found: install the Debian package coq to have the proofs checked"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path


def test_every_statement_of_the_source_is_there_once():
    assert len(BY_KEY) == len(STATEMENTS)
    assert set(SOURCE_KEYS) <= set(BY_KEY) and len(SOURCE_KEYS) == 32


def test_rocq_proves_every_statement_and_names_its_axioms(coqc):
    verdicts, axioms = prove(STATEMENTS)
    assert [s.key for s, v in zip(STATEMENTS, verdicts, strict=True) if v.status != "proved"] == []
    assert "ClassicalDedekindReals.sig_forall_dec" in axioms
    assert set(axioms) <= {
        "ClassicalDedekindReals.sig_not_dec",
        "ClassicalDedekindReals.sig_forall_dec",
        "FunctionalExtensionality.functional_extensionality_dep",
    }


def test_rocq_rejects_what_is_false_and_goes_on(coqc):
    verdicts, _ = prove((FALSE[0], BY_KEY["A1"], FALSE[-1]))
    assert [v.status for v in verdicts] == ["unproved", "proved", "unproved"]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.key)
def test_a_statement_holds_for_z3_fractions_and_float64(statement):
    bounded = any(isinstance(v, Natural) for v in statement.variables)
    assert decide(statement).status == ("proved for" if bounded else "proved")
    assert try_fractions(statement, seed=0).status == "held"
    assert try_floats(statement, seed=0).status == ("not checked" if statement.unstable else "held")


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.key)
def test_hypotheses_can_hold_together_and_none_is_idle(statement):
    assert satisfiable(statement) == "yes"
    for need in needs(statement):
        assert need.status == "needed" and need.counterexample


@pytest.mark.parametrize("statement", FALSE, ids=lambda s: s.key)
def test_what_is_false_is_refuted_by_z3_fractions_and_float64(statement):
    if statement.key == "false_strict":  # only at the ends of the window, which random floats do not hit
        assert decide(statement).status == "refuted" and try_fractions(statement, seed=0).status == "refuted"
        return
    assert {f(statement).status for f in (decide, lambda s: try_fractions(s, 0), lambda s: try_floats(s, 0))} == {
        "refuted"
    }


def test_contradictory_and_idle_hypotheses_are_found():
    contradictory = false("never", u <= 0, u > 1, u < 1)
    assert satisfiable(contradictory) == "no"
    idle = dataclasses.replace(BY_KEY["A4"], hypotheses=(eta > 0,))
    assert [need.status for need in needs(idle)] == ["not needed"]


def test_without_provers_nothing_passes(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(checking, "find_spec", lambda _: None)
    (outcome,) = check([BY_KEY["A6"]])
    assert {outcome.rocq.status, outcome.z3.status, outcome.lean.status, outcome.satisfiable} == {"not checked"}
    assert {need.status for need in outcome.needs} == {"not checked"}
    assert outcome.axioms == () and not outcome.broken
    (outcome,) = check([FALSE[0]])
    assert outcome.broken  # exact fractions need nobody


def test_a_formula_is_no_truth_value():
    with pytest.raises(TypeError, match="as two formulas"):
        assert 0 < eta < 1


def test_variables_are_found_once_and_bound_ones_are_not():
    total = Sum(index=k, length=d, term=energies[k] * eta)
    assert variables(total <= eta) == (d, energies, eta)


def test_a_step_of_several_equations_is_several_assumptions_solved_together():
    formulas = (equals(energies[k + 1], eta * energies[k]), Every(index=i, length=d, formula=weights[k, i] >= 0))
    statement = false("pair", energies[d] <= 0, Every(index=k, length=d, formula=All(formulas=formulas)))
    assert len(statement.hypotheses) == 1 and len(statement.assumptions) == 2
    assert variables(*statement.assumptions) == (d, energies, eta, weights)
    points = list(numeric.fractions(statement, 50, 0))
    assert len(points) == 50 and all(numeric.holds(statement.hypotheses[0], values) for values in points)
    free = list(numeric.fractions(statement, 50, 0, without=statement.assumptions[0]))
    assert not all(numeric.holds(statement.assumptions[0], values) for values in free)
    assert all(numeric.holds(statement.assumptions[1], values) for values in free)


def test_a_wrong_sign_in_conjugate_gradient_is_found():
    right = BY_KEY["cg_conjugate"]
    *before, run = right.hypotheses
    *others, momentum, direction = run.formula.formulas
    after, update = direction.formula.left, direction.formula.right
    wrong = dataclasses.replace(direction, formula=equals(after, update.left - update.right))
    turned = dataclasses.replace(run.formula, formulas=(*others, momentum, wrong))
    wronged = dataclasses.replace(right, hypotheses=(*before, dataclasses.replace(run, formula=turned)))
    assert try_fractions(wronged, seed=0).status == "refuted"


def test_rounding_is_forgiven_and_a_mistake_is_not():
    values = {"eta": torch.tensor([0.1]).double(), "a": torch.tensor([3.0]).double(), "w": torch.tensor([7.0]).double()}
    values["b"] = values["a"] * values["w"] + 1e-3
    step = equals(eta * (b - a * w), eta * b - eta * a * w)
    assert numeric.holds(step, values, numeric.SLACK).all()
    assert not numeric.holds(equals(eta * (b - a * w), eta * b - eta * a * w + 1), values, numeric.SLACK).any()
    values["b"] = values["b"] * (1 + 1e-12)
    assert not numeric.holds(equals(b, a * w), values, numeric.SLACK).any()


def test_the_mathematics_reads_as_written():
    assert mathematics(BY_KEY["A3"]) == "0 < η, η·a ≤ 2 ⇒ 0 ≤ η·(2 − η·a)"
    assert mathematics(BY_KEY["MN1"]) == "0 ≤ G[k] for all k < d ⇒ 0 ≤ Σ_{k<d} G[k]"
    assert mathematics(false("x", a - (b - w) <= a / (b * w), equals(-(a - b), (-a) ** 2))) == (
        "−(a − b) = (−a)² ⇒ a − (b − w) ≤ a/(b·w)"
    )


def test_the_page_is_what_the_statements_make_of_it():
    page = (Path(__file__).parents[2] / "docs" / "statements.md").read_text(encoding="utf-8")
    remedy = "docs/statements.md is not of these statements: mesascope theory export --to markdown DIR writes it anew"
    assert page == files(STATEMENTS, "markdown")["statements.md"], remedy


def test_a_counterexample_is_what_z3_says_and_fractions_confirm():
    (need,) = needs(dataclasses.replace(BY_KEY["A2"], hypotheses=(equals(b, a * w_star),)))
    found = {name: Fraction(value) for name, value in need.counterexample.items()}
    zero = Fraction(0)
    assert found.get("b", zero) != found.get("a", zero) * found.get("w_star", zero)


def test_lean_compiles_where_there_is_a_project(monkeypatch, tmp_path):
    """With a stand-in for lake, which fails at the second theorem: no real one was at hand."""
    lake = tmp_path / "lake"
    lake.write_text(
        '#!/bin/sh\nline=$(grep -n "^theorem A6" "$3" | cut -d: -f1)\necho "$3:$line:2: error: linarith failed"\nexit 1\n'
    )
    lake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    right, wrong = prove_in_lean((BY_KEY["A1"], BY_KEY["A6"]), tmp_path)
    assert right.status == "proved" and (wrong.status, wrong.detail) == ("unproved", "linarith failed")
    lake.write_text("#!/bin/sh\necho unknown package Mathlib >&2\nexit 1\n")
    with pytest.raises(RuntimeError, match="unknown package Mathlib"):
        prove_in_lean((BY_KEY["A1"],), tmp_path)
    assert {v.status for v in prove_in_lean(STATEMENTS, None)} == {"not checked"}


def test_smt_text_stands_alone():
    text = smt.module(BY_KEY["MN2"])
    assert text.count("(check-sat)") == smt.LONGEST + 1 and text.count("(push 1)") == text.count("(pop 1)")


def test_the_exported_rocq_file_compiles(coqc, tmp_path):
    few = [BY_KEY[key] for key in ("A1", "MN1")]
    (path,) = export(few, "rocq", tmp_path / "rocq")
    done = subprocess.run([coqc, path.name], cwd=path.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Axioms:") == len(few)


def test_exports_refuse_what_they_do_not_know(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        export(STATEMENTS, "lean", tmp_path)
    with pytest.raises(ValueError, match="must be rocq, lean, smt or markdown"):
        files(STATEMENTS, "isabelle")
    (lean,) = export(STATEMENTS, "lean", tmp_path / "lean")
    assert lean.read_text().count("\ntheorem ") == len(STATEMENTS)
    assert len(export(STATEMENTS, "smt", tmp_path / "smt")) == len(STATEMENTS)


def state(monkeypatch, *statements):
    """Has the command know these alone."""
    monkeypatch.setattr("mesascope.theory.STATEMENTS", statements)
    monkeypatch.setitem(index(), "statements", [statement.key for statement in statements])


def test_the_command_prints_a_line_a_statement_and_fails_on_a_broken_one(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("shutil.which", lambda _: None)
    state(monkeypatch, BY_KEY["A1"], BY_KEY["A6"])
    assert main(["theory", "check"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[:2]] == ["A1", "A6"] and "rocq not checked" in said[0]
    assert main(["theory", "check", "A6"]) == 0
    (line, *details) = capsys.readouterr().out.splitlines()
    assert line.startswith("A6 ") and "    without 0 ≤ η·a: false at" in "\n".join(details)
    assert main(["theory", "check", "--json"]) == 0
    assert [outcome["key"] for outcome in json.loads(capsys.readouterr().out)] == ["A1", "A6"]
    state(monkeypatch, BY_KEY["A1"], FALSE[0])
    assert main(["theory", "check"]) == 1
    assert "1 of 2 statements are broken: false_sign" in capsys.readouterr().err
    assert main(["theory", "check", "A6"]) == 2
    assert "statement must be one of A1, false_sign; got 'A6'" in capsys.readouterr().err
    assert main(["theory", "export", "--to", "smt", str(tmp_path / "out")]) == 0
