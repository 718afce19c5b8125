"""Users' own tasks and subjects, and what is said where their code fails."""

import re
import sys
from pathlib import Path

import pytest

OWN_TASK = """
from dataclasses import dataclass
from mesascope.tasks import LinearRegression

@dataclass(frozen=True, kw_only=True)
class Mine:
    dim: int = 3
    examples: int = 9
    queries: int = 1

    def sample(self, n, **where):
        return LinearRegression(dim=self.dim, examples=self.examples, queries=self.queries).sample(n, **where)

number = lambda: 3
broken = lambda: 1 / 0
"""
MINE = """
import sys
import torch
from mesascope.types import Domain, Site, Trace
class Mine:
    name, domain, sites = "mine", Domain(), (Site(layer=0, kind="resid_post"),)
    path = sites
    def trace(self, prompts, *, capture=(), interventions=()):
        held = torch.zeros(*prompts.targets.shape, 3)
        return Trace(predictions=held[..., 0], activations={site: held for site in capture})
    def readout(self, activation, site): return activation.sum(-1)
"""
CODE = {
    "leaves at once": ("sys.exit(0)", r"it raised SystemExit: 0 \(own\d+.py, line 12\)\."),
    "leaves with a word": ("sys.exit('enough')", r"it raised SystemExit: enough \(own\d+.py, line 12\)\."),
    "leaves when called": ("def load(): sys.exit()", r"it raised SystemExit \(own\d+.py, line 12\)\."),
    "has no domain": ("class load(Mine): domain = None", "its domain must be a Domain; got a NoneType"),
    "has a name that is none": ("class load(Mine): name = 3", "its name must be text; got a int"),
    "has names for sites": ("class load(Mine): path = ('a',)", "its sites and its path must consist of mesascope.types.Site"),
    "has no path": ("class load(Mine): path = ()", "must name the residual stream .* its path is empty"),
    "captures nothing": (
        "class load(Mine):\n def trace(self, p, **k): return Trace(predictions=torch.zeros(p.targets.shape), activations={})",
        r"it must capture every site that was asked for; blocks\.0\.hook_resid_post is missing",
    ),
    "answers nothing": (
        "class load(Mine):\n def trace(self, p, **k): pass",
        r"its predictions must have shape \(batch, query\), \(1, 1\) here; got None",
    ),
    "raises": (
        "class load(Mine):\n def trace(self, p, **k): 1 / 0",
        r"the code of 'python:own\d+:load' must answer; it raised ZeroDivisionError: division by zero \(own\d+.py, line 13\)",
    ),
    "raises in torch": (
        "class load(Mine):\n def trace(self, p, **k): torch.ones(2) @ torch.ones(3)",
        r"it raised RuntimeError: .*size.* \(own\d+.py, line 13\)",
    ),
    "raises what we raise": (
        "class load(Mine):\n def trace(self, p, **k): raise ValueError('odd')",
        r"it raised ValueError: odd \(own\d+.py, line 13\)",
    ),
    "leaves while it answers": (
        "class load(Mine):\n def trace(self, p, **k): sys.exit(0)",
        r"it raised SystemExit: 0 \(own\d+.py, line 13\)",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal leaves everything as it was."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def test_a_task_of_ones_own_is_named_as_python_reference(command, write):
    write("own_task.py", OWN_TASK)
    arguments = ["identify", "construction:gradient-descent?layers=2", "--profile", "smoke", "--json", "--task"]
    status, out, _ = command(*arguments, "python:own_task:Mine")
    assert status == 0
    assert "Mine is no linear task" in out


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("number", 2, "must satisfy the protocol mesascope.types.Task; got a int without dim"),
        ("Minr", 2, "'Minr' of 'python:own_task:Minr' must be defined in own_task; it is not. Did you mean 'Mine'?"),
        ("broken", 1, "'python:own_task:broken' must return a task; it raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_task_of_ones_own_is_refused(name, status, message, command, write):
    write("own_task.py", OWN_TASK)
    found, _, err = command("identify", "construction:gradient-descent", "--task", f"python:own_task:{name}")
    assert found == status
    assert message in err


@pytest.mark.parametrize("asked", ["examine", "identify"])
@pytest.mark.parametrize("case", CODE)
def test_users_code_that_fails_is_named(case: str, asked: str, refused) -> None:
    code, words = CODE[case]
    name = f"own{10 * list(CODE).index(case) + len(asked)}"  # no module is imported twice
    Path(f"{name}.py").write_text(MINE + code + "\n")
    out = ("--out", "new/deep") if asked == "examine" else ()
    assert re.search(words, said := refused(asked, f"python:{name}:load", *out, status=1)), said
