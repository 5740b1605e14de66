"""How the stack keeps its files: private, replaced whole, locked, bounded; all of the stack uses it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MOST_LOG_BYTES = 20 * 1024 * 1024


class AlreadyHeld(Exception):
    """Another live process holds the lock; `holder` is its process id as it wrote it, or empty."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by process {holder or 'unknown'}")
        self.holder = holder


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds the lock file at `path`, which the kernel frees however we end. Raises AlreadyHeld.

    The file stays: removing it would let two processes hold locks on two files of one name.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyHeld(path, os.pread(handle, 20, 0).decode("ascii", "replace").strip()) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def write_private(path: Path, text: str) -> None:
    """Replaces a file whole, readable by its owner only: a reader or a crash never sees half of it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Makes a folder of our own, private as far as can be; one that is there is left as it is.

    As root, PostgreSQL runs as another user that must get through: then the folder may be entered but not
    listed by others, and folders made above it are open to them, whatever the umask.
    """
    if path.is_dir():
        return
    root = os.geteuid() == 0
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            if root:
                folder.chmod(0o755)
    path.mkdir(exist_ok=True)
    path.chmod(0o711 if root else 0o700)


def open_log(path: Path) -> BinaryIO:
    """A file for a process to write its output to, appended: it may be cut while it is written."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return open(handle, "ab")


def cut_log(path: Path, most_bytes: int = MOST_LOG_BYTES) -> bool:
    """Moves what a log holds to NAME.1 once it exceeds `most_bytes`; whether it did.

    Its writer goes on at the new beginning. What it writes between the copy and the cut is lost.
    """
    if not path.exists() or path.stat().st_size <= most_bytes:
        return False
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True
