"""`make compiled`: the engine's busiest modules as machine code in build/compiled, by mypyc.

Which modules is said in pyproject.toml (tool.wayfarer). build/compiled holds the whole of their packages: a
process that has it first in its path (PYTHONSAFEPATH=1 PYTHONPATH=build/compiled) takes each module from
there, compiled or not. Where it cannot be made everything runs interpreted as before; --must fails then.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_BUILD = _ROOT / "build"
_OUT, _NEW, _WORK = _BUILD / "compiled", _BUILD / "compiled-new", _BUILD / "mypyc"
_PACKAGES = ("dispatcher", "execution_engine")


def main() -> int:
    """Compiles, unless what there is was made of the same; 0 if it is there or need not be."""
    _BUILD.mkdir(exist_ok=True)
    with (_BUILD / "compiled.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = _digest()
        made_of = _OUT / "made-of"
        if made_of.exists() and made_of.read_text() == wanted:
            return 0
        problem = _hindrance() or _compile()
        if problem:
            # What an earlier state of the code was compiled to must not be taken for this one's.
            shutil.rmtree(_OUT, ignore_errors=True)
            print(f"{problem}\nNot compiled: everything runs interpreted.", file=sys.stderr)
            return 1 if "--must" in sys.argv[1:] else 0
        (_NEW / "made-of").write_text(wanted)
        shutil.rmtree(_OUT, ignore_errors=True)
        _NEW.rename(_OUT)
        return 0


def modules() -> list[str]:
    """The files that are compiled, from the project's root."""
    listed = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["wayfarer"]["compiled"]
    return [f"{name.replace('.', '/')}.py" for name in listed]


def _hindrance() -> str:
    """What is missing that compiling an extension module takes, or ""."""
    compiler = os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler.split()[0]) is None:
        return f"There is no C compiler {compiler.split()[0]}."
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return "" if header.exists() else f"There is no {header} (python3-dev has it)."


def _compile() -> str:
    """In a process of its own, of whose hundreds of lines the last are given if it fails, else ""."""
    print("compiling (a minute) …", file=sys.stderr)
    for folder in (_NEW, _WORK):
        shutil.rmtree(folder, ignore_errors=True)
    words = (sys.executable, "-m", "tools.compiled", "--really")
    told = subprocess.run(words, cwd=_ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if told.returncode:
        return "\n".join(told.stdout.splitlines()[-20:])
    for package in _PACKAGES:
        shutil.copytree(
            _ROOT / package, _NEW / package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    return ""


def _digest() -> str:
    """Of everything that goes into it: code, types, list, tools, and the Python it is for."""
    found = hashlib.sha256(f"{sys.version} {os.environ.get('CC')} {os.environ.get('CFLAGS')}\n".encode())
    for path in sorted(_ingredients()):
        found.update(f"{path.relative_to(_ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _ingredients() -> Iterator[Path]:
    for package in _PACKAGES:
        for path in (_ROOT / package).rglob("*"):
            if path.is_file() and path.parent.name != "__pycache__":
                yield path
    yield from (_ROOT / "proto" / "gen").rglob("*.pyi")
    yield from (_ROOT / name for name in ("pyproject.toml", "requirements/dev.txt", "tools/compiled.py"))


def _really() -> None:
    # Here, for who only asks which modules there are needs neither.
    from mypyc.build import mypycify
    from setuptools import setup

    setup(
        name="wayfarer-compiled",
        packages=[],
        ext_modules=mypycify(
            ["--config-file", "pyproject.toml", "--explicit-package-bases", *modules()],
            opt_level="2",
            debug_level="0",
            target_dir=str(_WORK),
        ),
        script_args=[
            "-q",
            "build_ext",
            f"--build-lib={_NEW}",
            f"--build-temp={_WORK}",
            f"--parallel={os.cpu_count() or 1}",
        ],
    )


if __name__ == "__main__":
    if "--really" in sys.argv[1:]:
        _really()
    else:
        sys.exit(main())
