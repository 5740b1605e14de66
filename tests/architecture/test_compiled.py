"""What `make test-compiled` and the benchmarks run is compiled indeed; pytest runs it."""

import importlib
import os
import subprocess
import sys

import pytest

from tools.compiled import modules

COMPILED = pytest.mark.skipif("WAYFARER_COMPILED" not in os.environ, reason="run by `make test-compiled`")
_NAMES = [path.removesuffix(".py").replace("/", ".") for path in modules()]


@COMPILED
@pytest.mark.parametrize("name", _NAMES)
def test_the_module_under_test_is_the_compiled_one(name: str) -> None:
    found = importlib.import_module(name).__file__
    assert str(found).endswith(".so")


@COMPILED
def test_processes_that_are_started_take_the_compiled_ones_too() -> None:
    """As the stack starts them: by module, from wherever the tests run."""
    code = f"import importlib; print({{importlib.import_module(n).__file__[-3:] for n in {_NAMES!r}}})"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "{'.so'}"
