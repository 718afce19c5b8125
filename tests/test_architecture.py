"""Holds the shape of the house: imports run one way, nothing is pickled, files stay small, rooms have names.

The rules are functions of a module's name and source, so that the tests below can show each of them a violation.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PROJECT = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULE_OF = {"pyyaml": "yaml", "vl_convert_python": "vl_convert"}
"""What a package is imported as, where that is not its own name."""

# Lowest first. A room sees the rooms on the levels below its own.
LEVELS = (
    {"types"},
    {"seeds"},
    {"records"},
    {"machine"},
    {"tasks", "algorithms"},
    {"regressors"},
    {"models"},
    {"zoo", "training", "instruments"},
    {"plans"},
    {"calibration"},
    {"examination", "sweeps"},
    {"studies", "theory", "testing"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# The wings of instruments/, lowest first, by the same rule.
WINGS = (
    {"instrument", "asking", "statistics"},
    {"reading"},
    {"spectral"},
    {"behaving"},
    {"identification"},
    {"explaining", "regressing"},
    {"intervening", "metrics"},
    {"attending"},
    {"catalogue"},
)
WING = {wing: level for level, wings in enumerate(WINGS) for wing in wings}
NEIGHBOURS = {("zoo", "training")}  # on one level, yet the first may see the second: zoo entries carry training specs
FACADE = "__init__"
REPORT = "report"
REPORT_SEES = {"types", "records"}
SEE_REPORT = {FACADE, "commands"}
SEE_FACADE = {"commands"}
PICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
NAMELESS = {"util", "utils", "helper", "helpers", "common", "misc"}
LINES = 600


def may_see(importer: str, imported: str) -> bool:
    """Whether one room of the package may import another. The façade is the room called ``__init__``."""
    if importer == imported:
        return True
    if imported == REPORT:
        return importer in SEE_REPORT
    if importer == REPORT:
        return imported in REPORT_SEES
    if imported == FACADE:
        return importer in SEE_FACADE
    if importer == FACADE:
        return imported in LEVEL and LEVEL[imported] < LEVEL["commands"]
    if importer not in LEVEL or imported not in LEVEL:
        return False
    return LEVEL[imported] < LEVEL[importer] or (importer, imported) in NEIGHBOURS


def room(module: str) -> str:
    """The part of the package that a module belongs to: ``mesascope.tasks.linear`` lies in ``tasks``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "facade" else FACADE


def imports(module: str, tree: ast.AST, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, at any depth of the file, also by importlib with a literal name."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def import_faults(module: str, source: str, *, rooms: set[str], is_package: bool = False) -> list[str]:
    """What a module imports against the order."""
    here = room(module)
    faults = []
    if here != FACADE and here != REPORT and here not in LEVEL:
        faults.append(f"{module}: the house has no room {here!r}; give it a place in LEVELS")
    for line, name in imports(module, ast.parse(source), is_package):
        top, _, rest = name.partition(".")
        if top != "mesascope":
            continue
        # `from mesascope import load` takes a name from the façade, `from mesascope import tasks` a room.
        there = rest.split(".")[0] if rest.split(".")[0] in rooms else FACADE
        if not may_see(here, there):
            faults.append(f"{module}:{line}: {here} must not import {there}")
    return faults


def wing_faults(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module of ``instruments/`` imports from a wing that is not below its own."""
    house = "mesascope.instruments."
    if not module.startswith(house):
        return []
    here = module.removeprefix(house).split(".")[0]
    faults = [] if here in WING else [f"{module}: instruments/ has no wing {here!r}; give it a place in WINGS"]
    for line, name in imports(module, ast.parse(source), is_package):
        there = name.removeprefix(house).split(".")[0] if name.startswith(house) else here
        if there != here and there in WING and not WING[there] < WING.get(here, 0):
            faults.append(f"{module}:{line}: wing {here} must not import {there}")
    return faults


def circle_faults(module: str, source: str) -> list[str]:
    """Rooms taken from the package itself: that loads the façade, and with it all rooms above."""
    if room(module) in {FACADE, *SEE_FACADE}:
        return []
    return [
        f"{module}:{node.lineno}: write `import mesascope.{node.names[0].name}`; `from mesascope import` loads the façade"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "mesascope" and not node.level
    ]


def disk_faults(module: str, source: str) -> list[str]:
    """Whatever reads or writes pickles; ``torch.load`` is fine with ``weights_only=True`` in so many words."""
    faults = []
    tree = ast.parse(source)
    for line, name in imports(module, tree, is_package=False):
        if name.split(".")[0] in PICKLERS:
            faults.append(f"{module}:{line}: imports {name}")
        if name in {"torch.load", "torch.save"}:
            faults.append(f"{module}:{line}: takes {name} by its bare name, where no one sees what it loads")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"read_pickle", "to_pickle"}:
            faults.append(f"{module}:{node.lineno}: calls {node.attr}")
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        literal = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
        if call == "torch.load" and literal.get("weights_only") is not True:
            faults.append(f"{module}:{node.lineno}: torch.load without weights_only=True")
        if call == "torch.save":
            faults.append(f"{module}:{node.lineno}: torch.save writes pickle; records writes safetensors")
        if any(k.arg == "allow_pickle" for k in node.keywords) and literal.get("allow_pickle") is not False:
            faults.append(f"{module}:{node.lineno}: allow_pickle")
    return faults


def future_faults(module: str, source: str) -> list[str]:
    """Postponed annotations: strings that the checker of shapes cannot read."""
    return [
        f"{module}:{node.lineno}: from __future__ import annotations"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
    ]


def extra_faults(module: str, source: str) -> list[str]:
    """Imports of what a plain installation lacks, outside of the functions that need it."""
    names = [re.split(r"[^\w-]", each)[0].lower().replace("-", "_") for each in PROJECT["dependencies"]]
    there = {"mesascope", *sys.stdlib_module_names, *(MODULE_OF.get(name, name) for name in names)}
    return [
        f"{module}:{line}: {name} is not among the dependencies; import it inside the function that needs it"
        for line, name in imports(module, _at_once(ast.parse(source)), is_package=False)
        if name.split(".")[0] not in there
    ]


def _at_once(tree: ast.Module) -> ast.Module:
    """The module without what waits for a call, and without what only type checkers read."""

    class Waiting(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test).endswith("TYPE_CHECKING") else self.generic_visit(node)

    return Waiting().visit(tree)


def name_faults(path: Path) -> list[str]:
    """Names that say nothing of what is inside."""
    return [f"{path}: {part!r} says nothing" for part in path.with_suffix("").parts if part.strip("_") in NAMELESS]


def size_faults(path: Path, source: str) -> list[str]:
    """Files that have grown past what one person reads in a sitting."""
    lines = len(source.splitlines())
    return [f"{path}: {lines} lines; {LINES} are a mistake"] if lines > LINES else []


# ------------------------------------------------------------------------------------------- the tree


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((SOURCE / "mesascope").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


MODULES = modules()
ROOMS = {room(name) for name in MODULES} | set(LEVEL) | {REPORT}


def test_the_tree_is_found():
    assert "mesascope.types" in MODULES
    assert room("mesascope.types") == "types"


@pytest.mark.parametrize("name", MODULES)
def test_modules_keep_the_rules(name):
    path = MODULES[name]
    source = path.read_text(encoding="utf-8")
    faults = [
        *import_faults(name, source, rooms=ROOMS, is_package=path.name == "__init__.py"),
        *wing_faults(name, source, is_package=path.name == "__init__.py"),
        *circle_faults(name, source),
        *disk_faults(name, source),
        *future_faults(name, source),
        *extra_faults(name, source),
    ]
    assert not faults, "\n".join(faults)


def test_files_are_small_and_named_after_what_they_hold():
    faults = []
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix in {".py", ".j2", ".css", ".js"}:
            faults += name_faults(path.relative_to(SOURCE))
            faults += size_faults(path.relative_to(SOURCE), path.read_text(encoding="utf-8"))
    assert not faults, "\n".join(faults)


# ------------------------------------------------------------------------- every rule catches something


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mesascope.types", "import mesascope.records"),
        ("mesascope.seeds", "from mesascope import records"),
        ("mesascope.records.store", "from mesascope.tasks import LinearRegression"),
        ("mesascope.records.store", "from ..tasks.linear import LinearRegression"),
        ("mesascope.records.store", "from .. import tasks"),
        ("mesascope.tasks.linear", "def f():\n    from mesascope.algorithms import run"),
        ("mesascope.tasks.linear", "if TYPE_CHECKING:\n    from mesascope import models"),
        ("mesascope.tasks.linear", "import importlib\nimportlib.import_module('mesascope.models')"),
        ("mesascope.algorithms.newton", "import mesascope.tasks.linear as linear"),
        ("mesascope.algorithms.newton", "from mesascope.regressors import regressor"),
        ("mesascope.regressors.batched", "from mesascope.models import transformer"),
        ("mesascope.models.transformer", "from mesascope.training import spec"),
        ("mesascope.training.loop", "from mesascope.zoo import entries"),
        ("mesascope.instruments.reading.probes", "from mesascope.training import loop"),
        ("mesascope.instruments.reading.probes", "from mesascope.zoo import entries"),
        ("mesascope.zoo.entries", "from mesascope.instruments import probes"),
        ("mesascope.calibration.panel", "from mesascope.examination import examine"),
        ("mesascope.examination", "from mesascope.report import page"),
        ("mesascope.examination", "from mesascope import studies"),
        ("mesascope.studies.depth", "from mesascope import theory"),
        ("mesascope.testing", "from mesascope import cli"),
        ("mesascope.examination", "import mesascope as ms"),
        ("mesascope.examination", "from mesascope import load"),
        ("mesascope.report.page", "from mesascope.tasks import LinearRegression"),
        ("mesascope.report.page", "from mesascope import seeds"),
        ("mesascope.report.page", "import mesascope"),
        ("mesascope", "from mesascope.cli import main"),
        ("mesascope.facade", "from mesascope.commands import run"),
        ("mesascope.studies.depth", "import mesascope.facade"),
        ("mesascope.machine.memory", "from mesascope.tasks import LinearRegression"),
        ("mesascope.cli", "import mesascope as ms"),
        ("mesascope.parlour", "import math"),
        ("mesascope.cli", "from mesascope.parlour import sit"),
    ],
)
def test_an_import_against_the_order_is_caught(module, source):
    is_package = module == "mesascope"
    assert len(import_faults(module, source, rooms=ROOMS | {"parlour"}, is_package=is_package)) == 1


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from transformers import DynamicCache", 1),
        ("class A:\n    import sklearn.svm", 1),
        ("try:\n    import z3\nexcept ImportError:\n    pass", 1),
        ("def f():\n    import transformers", 0),
        ("if TYPE_CHECKING:\n    from transformers import DynamicCache", 0),
        ("import yaml\nimport vl_convert\nfrom jaxtyping import Float\nimport os.path", 0),
    ],
)
def test_what_only_an_extra_brings_is_not_imported_at_once(source, found):
    assert len(extra_faults("mesascope.tasks.linear", source)) == found


def test_a_room_that_is_taken_from_the_package_is_caught():
    """It worked where the façade was loaded before, and was a circle where it was not."""
    assert len(circle_faults("mesascope.zoo.references", "from mesascope import tasks")) == 1
    assert not circle_faults("mesascope.facade", "from mesascope import tasks")
    assert not circle_faults("mesascope.zoo.references", "import mesascope.tasks as tasks")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("reading.probes", "from mesascope.instruments.spectral import channels"),
        ("reading.probes", "from mesascope.instruments.catalogue import BY_NAME"),
        ("spectral.spectrum", "from mesascope.instruments.identification.fitting import fit"),
        ("intervening.patching", "def f():\n    from mesascope.instruments.metrics import oracle"),
        ("parlour.probes", "import math"),
    ],
)
def test_an_import_against_the_order_of_wings_is_caught(module, source):
    assert len(wing_faults(f"mesascope.instruments.{module}", source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mesascope.records.store", "from mesascope.types import Record"),
        ("mesascope.records.store", "from .codec import encode"),
        ("mesascope.tasks.linear", "from mesascope import seeds"),
        ("mesascope.zoo.entries", "from mesascope.training import spec\nfrom mesascope.models import transformer"),
        ("mesascope.report.page", "from mesascope import types\nfrom ..records import store\nimport jinja2"),
        ("mesascope.commands.examine", "import mesascope as ms\nfrom mesascope.report import page"),
        ("mesascope.facade", "from mesascope.report import page\nfrom mesascope.studies import run_study"),
        ("mesascope", "from .report.page import render\nfrom . import tasks"),
        ("mesascope.__main__", "from mesascope.cli import main"),
        ("mesascope.theory", "import typesetting\nimport mesascopes.cli"),
    ],
)
def test_an_import_along_the_order_passes(module, source):
    assert import_faults(module, source, rooms=ROOMS, is_package=module == "mesascope") == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from joblib import dump",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trusted)",
        "torch.save(model, path)",
        "from torch import load",
        "frame.to_pickle(path)",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_a_pickle_is_caught(source):
    assert len(disk_faults("mesascope.records.store", source)) == 1


@pytest.mark.parametrize(
    "source",
    ["torch.load(path, map_location='cpu', weights_only=True)", "numpy.load(path, allow_pickle=False)", "json.load(f)"],
)
def test_reading_numbers_passes(source):
    assert disk_faults("mesascope.records.store", source) == []


def test_postponed_annotations_are_caught():
    assert future_faults("mesascope.tasks", "from __future__ import annotations")
    assert not future_faults("mesascope.tasks", "from __future__ import division")


def test_nameless_rooms_are_caught():
    assert name_faults(Path("mesascope/utils.py"))
    assert name_faults(Path("mesascope/tasks/_helpers.py"))
    assert name_faults(Path("mesascope/common/inputs.py"))
    assert not name_faults(Path("mesascope/tasks/inputs.py"))


def test_long_files_are_caught():
    assert size_faults(Path("a.py"), "\n" * 601)
    assert not size_faults(Path("a.py"), "\n" * 600)
