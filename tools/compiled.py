"""`make compiled`: the engine's busiest modules as machine code in build/compiled, by mypyc.

Which modules is said in pyproject.toml (tool.wayfarer). build/compiled holds the whole of their packages: a
process that has it first in its path (PYTHONSAFEPATH=1 PYTHONPATH=build/compiled) takes each module from
there, compiled or not. Without a C compiler nothing is made, and everything runs interpreted as before.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

_ROOT = Path(__file__).resolve().parent.parent
_BUILD = _ROOT / "build"
_OUT = _BUILD / "compiled"
_MADE_OF = _OUT / "made-of"
_PACKAGES = ("dispatcher", "execution_engine")


def main() -> int:
    """Compiles, unless what there is was made of the same code; 0 without a compiler too."""
    if shutil.which(os.environ.get("CC", "cc")) is None:
        print("no C compiler: everything runs interpreted", file=sys.stderr)
        shutil.rmtree(_OUT, ignore_errors=True)
        return 0
    wanted = _digest()
    if _MADE_OF.exists() and _MADE_OF.read_text() == wanted:
        return 0
    print("compiling (a minute) …", file=sys.stderr)
    shutil.rmtree(_OUT, ignore_errors=True)
    try:
        _compile()
    except subprocess.CalledProcessError as error:
        shutil.rmtree(_OUT, ignore_errors=True)
        print(error.output, file=sys.stderr)
        return 1
    for package in _PACKAGES:
        shutil.copytree(
            _ROOT / package, _OUT / package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    _MADE_OF.write_text(wanted)
    return 0


def modules() -> list[str]:
    """The files that are compiled, from the project's root."""
    listed = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["wayfarer"]["compiled"]
    return [f"{name.replace('.', '/')}.py" for name in listed]


def _digest() -> str:
    """Of everything that goes into it: code, list, and the Python it is for."""
    found = hashlib.sha256(f"{sys.version}\n".encode())
    for path in sorted(
        path for package in _PACKAGES for path in (_ROOT / package).rglob("*") if path.is_file()
    ):
        if path.parent.name != "__pycache__":
            found.update(f"{path.relative_to(_ROOT)}\n".encode() + path.read_bytes())
    found.update((_ROOT / "pyproject.toml").read_bytes() + (_ROOT / "requirements/dev.txt").read_bytes())
    return found.hexdigest()


def _compile() -> None:
    """In a process of its own, whose hundreds of lines are only shown if it fails."""
    subprocess.run(
        [sys.executable, "-m", "tools.compiled", "--really"],
        cwd=_ROOT,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _really() -> None:
    shutil.rmtree(_BUILD / "mypyc", ignore_errors=True)
    setup(
        name="wayfarer-compiled",
        packages=[],
        ext_modules=mypycify(
            ["--config-file", "pyproject.toml", "--explicit-package-bases", *modules()],
            opt_level="2",
            debug_level="0",
            target_dir=str(_BUILD / "mypyc"),
        ),
        script_args=[
            "-q",
            "build_ext",
            f"--build-lib={_OUT}",
            f"--build-temp={_BUILD / 'mypyc'}",
            f"--parallel={os.cpu_count() or 1}",
        ],
    )


if __name__ == "__main__":
    if "--really" in sys.argv[1:]:
        _really()
    else:
        sys.exit(main())
