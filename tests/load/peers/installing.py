"""Installs what the peers run on into build/peers, once: environments, Redis, Temporal's server; `__main__.py` asks.

Nothing is installed into the system: Debian's packages are unpacked, Go's programs built in place.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.load.rig import say

ROOT: Final = Path(__file__).resolve().parents[3]
BUILD: Final = ROOT / "build" / "peers"
TEMPORAL: Final = "v1.31.0"
_LONGEST_S: Final = 3600
_CONTRIB: Final = Path("/usr/share/postgresql")


class NotRun(Exception):
    """A peer cannot be installed or run here; the message says why, for the table."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program and what its environment needs besides ours."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)


def python(name: str) -> Path:
    """The interpreter of that peer's own environment, installed as requirements/peers pins it."""
    pins = ROOT / "requirements" / "peers" / f"{name}.txt"
    place = BUILD / name / ".venv"
    interpreter, mark = place / "bin" / "python", place / "pins"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return interpreter
    say(f"{name}: installing {pins.relative_to(ROOT)} …")
    shutil.rmtree(place, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(place))
    options = ("install", "-q", "--require-hashes", "-r", str(pins))
    uv = Path(sys.executable).with_name("uv")
    try:
        _run(str(uv), "pip", *options, "-p", str(interpreter))
    except NotRun:
        # uv does not read pip's configuration: where it cannot install, pip may.
        _run(str(interpreter), "-m", "pip", *options)
    mark.write_text(wanted)
    return interpreter


def redis() -> Program:
    """The machine's redis-server, else Debian's, unpacked."""
    if found := shutil.which("redis-server"):
        return Program(Path(found))
    place = BUILD / "redis"
    program = place / "root" / "usr" / "bin" / "redis-server"
    if not program.exists():
        _unpack("redis-server", place)
    libraries = {str(path.parent) for path in (place / "root" / "usr" / "lib").glob("*/*.so*")}
    return Program(program, {"LD_LIBRARY_PATH": ":".join(sorted(libraries))})


def _unpack(package: str, place: Path) -> None:
    """Debian's package with what this machine lacks of its dependencies, into `place`/root."""
    if not shutil.which("apt-get"):
        raise NotRun(f"there is no {package} here, nor apt-get to fetch it with")
    say(f"fetching {package} …")
    archives = place / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    folder = ("-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1")
    _run("apt-get", "install", "-y", "-qq", "--download-only", "--no-install-recommends", *folder, package)
    for archive in sorted(archives.glob("*.deb")):
        _run("dpkg", "-x", str(archive), str(place / "root"))


def temporal() -> Path:
    """The folder with Temporal's `server` and the `sql` tool for its schema, built from their Go module."""
    place = BUILD / "temporal" / TEMPORAL
    for package in ("cmd/server", "cmd/tools/sql"):
        if (place / Path(package).name).exists():
            continue
        if not shutil.which("go"):
            raise NotRun("there is no go here to build Temporal's server with")
        say(f"temporal: building {package} {TEMPORAL} …")
        source = f"go.temporal.io/server/{package}@{TEMPORAL}"
        _run("nice", "-n", "15", "go", "install", source, environment={"GOBIN": str(place)})
    return place


def contrib_postgres() -> Path:
    """The newest installed PostgreSQL with btree_gin, which Temporal's schema needs and the wheel lacks."""
    shares = _CONTRIB.glob("*/extension/btree_gin.control")
    folders = [Path("/usr/lib/postgresql", share.parents[1].name, "bin") for share in shares]
    found = [folder for folder in folders if (folder / "postgres").exists()]
    if not found:
        raise NotRun("Temporal's schema needs a PostgreSQL with btree_gin, such as Debian's postgresql")
    return max(found, key=lambda binaries: int(binaries.parent.name))


def _run(*words: str, environment: dict[str, str] | None = None) -> None:
    """Runs an installer. Raises NotRun with what it said last."""
    try:
        subprocess.run(
            words,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LONGEST_S,
            env=inherited() | (environment or {}),
        )
    except subprocess.CalledProcessError as error:
        raise NotRun(f"{Path(words[0]).name} failed: {last_line(error.stdout)}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRun(f"{Path(words[0]).name}: {error}") from None


def inherited() -> dict[str, str]:
    """What a peer has of this environment: all but the path to Wayfarer's compiled modules, and its safety."""
    return {name: told for name, told in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}


def last_line(said: str) -> str:
    """The last line that is not empty, cut to what fits a table."""
    lines: Sequence[str] = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it said nothing"
