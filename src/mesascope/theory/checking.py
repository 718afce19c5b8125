"""Check every statement with every prover that is installed."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import torch

from mesascope.machine.processes import run_beside
from mesascope.theory import expressions, lean, numeric, rocq, running, smt
from mesascope.theory.mathematics import mathematics, written
from mesascope.theory.outcome import Need, ProverVerdict, StatementOutcome
from mesascope.theory.statement import Statement

POINTS = {"exact": 200, "numeric": 2000}
"""Number of points drawn: for fractions in total, for float64 per choice of the natural variables."""

SEED = 4
"""Seed of the search for counter-examples, chosen so that they are found quickly; each one is then confirmed separately."""

TIMEOUT = 900
"""Seconds allowed to ``coqc`` or Lean for all statements: ``coqc`` takes about ten, but many times that on a busy machine."""

_Asked = tuple[str, bool, int, int]
"""A network, whether it ran on exact numbers, the number of points where the hypotheses held, and where the statement failed."""


def check(
    statements: Sequence[Statement], seed: int = 0, lean_project: Path | None = None
) -> tuple[StatementOutcome, ...]:
    """Check statements with Rocq, z3, exact fractions, float64 and networks; a missing prover's verdict is ``not checked``.

    Args:
        statements: the statements to check.
        seed: the seed of all random values.
        lean_project: a Lake project that depends on Mathlib, in which the Lean text is compiled.
    """
    by_rocq, axioms = prove(statements)
    by_lean = prove_in_lean(statements, lean_project)
    by_running = run_networks(statements, seed)
    return tuple(
        StatementOutcome(
            key=s.key,
            name=s.name,
            words=s.words,
            mathematics=mathematics(s),
            source=s.source,
            used=s.used,
            departs=s.departs,
            rocq=proof,
            z3=decide(s),
            exact=try_fractions(s, seed),
            numeric=try_floats(s, seed),
            running=by_running[s.key],
            lean=in_lean,
            axioms=axioms if proof.status == "proved" else (),
            satisfiable=satisfiable(s),
            needs=needs(s),
        )
        for s, proof, in_lean in zip(statements, by_rocq, by_lean, strict=True)
    )


class ProverFailed(RuntimeError):
    """A prover gave no verdict: it failed outside the statements, or took too long."""


def _run(command: list[str], folder: Path | str) -> "subprocess.CompletedProcess[str]":
    try:
        return run_beside(command, folder, TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise ProverFailed(
            f"{Path(command[0]).name} took more than {TIMEOUT} s. Try again on a less busy machine."
        ) from error


def prove(statements: Sequence[Statement]) -> tuple[tuple[ProverVerdict, ...], tuple[str, ...]]:
    """Rocq's verdicts, and the axioms that all proofs together use.

    If a proof fails, it is left out and the rest is compiled again, so that one mistake does not hide another.
    """
    compiler = shutil.which("coqc")
    if compiler is None:
        missing = ProverVerdict(status="not checked", detail="coqc is not installed (Debian package coq)")
        return (missing,) * len(statements), ()
    failed: dict[str, ProverVerdict] = {}
    while True:
        kept = [s for s in statements if s.key not in failed]
        text = rocq.module(kept, axioms_of_each=False)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "statements.v").write_text(text, encoding="utf-8")
            done = _run([compiler, "-time", "statements.v"], folder)
        if done.returncode == 0:
            break
        line = re.search(r"line (\d+)", done.stderr)
        culprit = None if line is None else _theorem_at(text, int(line[1]))
        if culprit is None:
            raise ProverFailed(f"coqc failed outside the statements: {done.stderr.strip() or done.stdout.strip()}")
        failed[culprit] = ProverVerdict(status="unproved", detail=done.stderr.strip().splitlines()[-1])
    times = _times(done.stdout)
    verdicts = (failed.get(s.key) or ProverVerdict(status="proved", seconds=times[s.key]) for s in statements)
    return tuple(verdicts), _axioms(done.stdout)


def prove_in_lean(statements: Sequence[Statement], project: Path | None) -> tuple[ProverVerdict, ...]:
    """Lean's verdicts. Its tactics are generic, without hints: ``unproved`` means only that these tactics fail.

    Raises:
        ProverFailed: Lean failed outside the statements; for example, the project lacks Mathlib.
    """
    lake = shutil.which("lake")
    if project is None or lake is None:
        missing = "emitted, not compiled here" if project is None else "lake is not installed"
        return (ProverVerdict(status="not checked", detail=missing),) * len(statements)
    text = lean.module(statements)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Statements.lean"
        path.write_text(text, encoding="utf-8")
        done = _run([lake, "env", "lean", str(path)], project)
    said = re.findall(r":(\d+):\d+: error: (.*)", done.stdout + done.stderr)
    failed = {_theorem_at(text, int(line)): message for line, message in reversed(said)}
    if None in failed or (done.returncode and not failed):
        raise ProverFailed(f"lean failed outside the statements: {done.stderr.strip() or done.stdout.strip()}")
    return tuple(
        ProverVerdict(status="unproved", detail=failed[s.key]) if s.key in failed else ProverVerdict(status="proved")
        for s in statements
    )


def decide(statement: Statement) -> ProverVerdict:
    """z3's verdict. For a statement with natural variables, it covers only `smt.instances`."""
    if find_spec("z3") is None:
        return ProverVerdict(status="not checked", detail="z3 is not installed (pip install 'mesascope[theory]')")
    start, chosen = time.perf_counter(), list(smt.instances(statement))
    for naturals in chosen:
        answer = smt.ask(smt.question(statement, naturals))
        if answer.verdict != "unsat":
            status = "refuted" if answer.verdict == "sat" else "undecided"
            at = {**naturals, **(answer.values or {})}
            return ProverVerdict(status=status, seconds=time.perf_counter() - start, detail=_listed(at))
    where = "; ".join(_listed(naturals) for naturals in chosen if naturals)
    status = "proved for" if where else "proved"
    return ProverVerdict(status=status, seconds=time.perf_counter() - start, detail=where)


def try_fractions(statement: Statement, seed: int) -> ProverVerdict:
    """The verdict of exact arithmetic at random small fractions."""
    start, tried = time.perf_counter(), 0
    for values in numeric.fractions(statement, POINTS["exact"], seed):
        assumed, violated = numeric.violations(statement, values)
        tried += assumed
        if violated:
            seconds = time.perf_counter() - start
            return ProverVerdict(status="refuted", seconds=seconds, detail=_listed(values))
    return _held(tried, time.perf_counter() - start)


def try_floats(statement: Statement, seed: int) -> ProverVerdict:
    """The verdict of float64 at random points."""
    if statement.unstable:
        return ProverVerdict(status="not checked", detail="its iteration amplifies rounding")
    start, tried = time.perf_counter(), 0
    for values in numeric.floats(statement, POINTS["numeric"], seed):
        assumed, violated = (
            torch.as_tensor(v).expand(POINTS["numeric"]) for v in numeric.violations(statement, values, numeric.SLACK)
        )
        tried += int(assumed.sum())
        if violated.any():
            seconds = time.perf_counter() - start
            return ProverVerdict(status="refuted", seconds=seconds, detail=f"at {int(violated.sum())} points")
    return _held(tried, time.perf_counter() - start)


def run_networks(
    statements: Sequence[Statement],
    seed: int,
    change: running.Rebuilding = running.unchanged,
    *,
    fractions: bool = True,
) -> dict[str, ProverVerdict]:
    """The verdicts, by key, of hand-built networks that run in float64 and on binary fractions, where they do not round.

    Args:
        statements: the statements to check.
        seed: the seed of the prompts.
        change: a change of each network before it runs; tests introduce a mistake here, which must be found.
        fractions: whether networks also run on binary fractions.
    """
    asked: dict[str, list[_Asked]] = {s.key: [] for s in statements}
    by_key = {s.key: s for s in statements}
    for exact in (False, True)[: 1 + fractions]:
        for run, reading in running.readings(exact=exact, seed=seed, change=change):
            if reading.key in asked:
                asked[reading.key].append((run.network, exact, *running.asked(by_key[reading.key], reading, exact)))
    return {key: _together(said) for key, said in asked.items()}


def satisfiable(statement: Statement) -> str:
    """Whether all hypotheses can hold at once, for some lengths: yes, no, undecided, or (without z3) not checked."""
    if find_spec("z3") is None:
        return "not checked"
    said = {smt.ask(smt.question(statement, n, conclusion=False)).verdict for n in smt.instances(statement)}
    return "yes" if "sat" in said else "undecided" if "unknown" in said else "no"


def needs(statement: Statement) -> tuple[Need, ...]:
    """For each hypothesis, whether the statement fails without it."""
    return tuple(_need(statement, place) for place in range(len(statement.assumptions)))


def _need(statement: Statement, place: int) -> Need:
    text = written(statement.assumptions[place])
    if find_spec("z3") is None:
        return Need(hypothesis=text, status="not checked", counterexample={})
    said = set()
    for naturals in smt.instances(statement):
        answer = smt.ask(smt.question(statement, naturals, without=place))
        said.add(answer.verdict)
        if answer.values is not None and _confirmed(statement, place, naturals, answer.values):
            found = {name: str(value) for name, value in {**naturals, **answer.values}.items()}
            return Need(hypothesis=text, status="needed", counterexample=found)
    if said != {"unsat"} or naturals:
        others = [h for n, h in enumerate(statement.assumptions) if n != place]
        for values in numeric.fractions(statement, POINTS["exact"], SEED, without=statement.assumptions[place]):
            if _fails(statement, others, values):
                found = {name: _number(value) for name, value in values.items()}
                return Need(hypothesis=text, status="needed", counterexample=found)
    return Need(hypothesis=text, status="not needed" if said == {"unsat"} else "undecided", counterexample={})


def _confirmed(statement: Statement, place: int, naturals: dict[str, int], found: dict[str, Fraction]) -> bool:
    """Whether exact fractions confirm z3's counter-example."""
    values: dict[str, object] = dict(naturals)
    for variable in statement.variables:
        if isinstance(variable, expressions.Real):
            values[variable.name] = found.get(variable.name, Fraction(0))
        elif isinstance(variable, expressions.Sequence):
            values[variable.name] = _found(variable, found)
    return _fails(statement, [h for n, h in enumerate(statement.assumptions) if n != place], values)


def _fails(statement: Statement, assumed: Sequence[expressions.Formula], values: numeric.Values) -> bool:
    """Whether the assumptions hold and the conclusion fails at these values; False if a formula divides by zero."""
    try:
        return all(numeric.holds(h, values) for h in assumed) and not numeric.holds(statement.conclusion, values)
    except ZeroDivisionError:
        return False


def _found(sequence: expressions.Sequence, found: dict[str, Fraction], *indices: int) -> object:
    """A sequence, or a row of a table, with the values that z3 found; zero for entries that z3 gave no value."""
    if len(indices) == sequence.axes:
        return found.get(smt.constant(sequence, *indices), Fraction(0))
    return [_found(sequence, found, *indices, k) for k in range(numeric.LONGEST + 2)]


def _together(said: Sequence[_Asked]) -> ProverVerdict:
    """The joint verdict of all networks on one statement."""
    if not said:
        return ProverVerdict(status="not tied", detail="no network has its variables")
    networks = ", ".join(dict.fromkeys(network for network, *_ in said))
    if failed := ", ".join(dict.fromkeys(network for network, _, _, failures in said if failures)):
        return ProverVerdict(status="refuted", detail=f"by {failed}")
    rounded, exact = (sum(points for _, whole, points, _ in said if whole == kind) for kind in (False, True))
    status = "held" if rounded else "undecided"
    return ProverVerdict(status=status, detail=f"at {rounded} points in float64 and {exact} exact ones of {networks}")


def _held(tried: int, seconds: float) -> ProverVerdict:
    return ProverVerdict(status="held" if tried else "undecided", seconds=seconds, detail=f"at {tried} points")


def _listed(values: numeric.Values) -> str:
    return ", ".join(f"{name} = {_number(value)}" for name, value in values.items())


def _number(value: object) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, list) else str(value)


def _theorem_at(text: str, line: int) -> str | None:
    """The theorem that a line of the file belongs to."""
    above = re.findall(r"^[Tt]heorem (\w+)", "\n".join(text.splitlines()[:line]), flags=re.MULTILINE)
    return above[-1] if above else None


def _times(output: str) -> dict[str, float]:
    """Seconds per theorem, summed from the times that ``coqc -time`` prints for every sentence, in the order of the file."""
    spent: dict[str, float] = {}
    key = None
    for sentence, seconds in re.findall(r"^Chars \d+ - \d+ \[(.*)\] ([\d.]+) secs", output, flags=re.MULTILINE):
        if began := re.match(r"(?:Theorem~(\w+)|Lemma|Definition|Print)", sentence):
            key = began[1]
        if key is not None:
            spent[key] = spent.get(key, 0.0) + float(seconds)
    return spent


def _axioms(output: str) -> tuple[str, ...]:
    """The names below the line ``Axioms:``."""
    said = output.split("Axioms:\n")[1] if "Axioms:\n" in output else ""
    return tuple(re.findall(r"^(\w[\w.]*)(?= *:|\n *:)", said.split("\nChars ")[0], flags=re.MULTILINE))
