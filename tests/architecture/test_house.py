"""The house rules a machine can keep: docstrings, sizes, no sleeps in tests, one statement per file."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("execution_engine", "dispatcher", "services", "tests", "tools")
HARD_FILE, HARD_FUNCTION = 420, 60
MODULES = [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))]
STATEMENTS = sorted((ROOT / "execution_engine" / "store" / "sql").glob("*.sql"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_each_module_says_why_it_exists(path: Path) -> None:
    doc = ast.get_docstring(ast.parse(path.read_text()))
    assert doc, f"{name(path)} has no docstring"
    assert len(doc.splitlines()[0]) > 20, f"{name(path)}: its first line says too little"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= HARD_FILE, f"{name(path)} holds more than one idea"
    if path.parts[-3:-1] == ("tests", "chaos"):
        return  # a kill run is one story
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= HARD_FUNCTION, f"{name(path)}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if "tests" in p.parts and "load" not in p.parts], ids=name
)
def test_tests_wait_on_signals_and_never_sleep(path: Path) -> None:
    """A load generator paces itself and may; a test may not."""
    assert not re.search(r"(?:time|asyncio)\.sleep\((?!0\))", path.read_text()), f"{name(path)} sleeps"


@pytest.mark.parametrize("path", STATEMENTS, ids=name)
def test_each_statement_says_what_it_does_and_who_runs_it(path: Path) -> None:
    text = path.read_text()
    comment = " ".join(line.removeprefix("--") for line in text.splitlines() if line.startswith("--"))
    assert len(comment) > 40, f"{name(path)} does not say what it does"
    assert re.search(r"dispatcher/|store/|services/", comment), f"{name(path)} does not say who runs it"
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    assert ";" not in code, f"{name(path)} holds more than one statement"


def test_every_statement_is_used() -> None:
    code = "\n".join(p.read_text() for package in PACKAGES[:3] for p in (ROOT / package).rglob("*.py"))
    unused = [name(p) for p in STATEMENTS if f'"{p.stem}"' not in code]
    assert not unused
