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
    """A worker's own imports, by module as the stack starts it."""
    words = (sys.executable, "-v", "-m", "services.worker", "--print-config")
    told = subprocess.run(words, capture_output=True, text=True).stderr.splitlines()
    loaders = {line.split("'")[1]: line for line in told if line.startswith("import '")}
    assert "ExtensionFileLoader" in loaders["dispatcher.worker"]
    # The others come along in one library: what was interpreted would have been read from its source.
    assert not [name for name in _NAMES if "SourceFileLoader" in loaders.get(name, "")]
