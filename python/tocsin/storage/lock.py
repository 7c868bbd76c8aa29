"""One writing process per store: the file LOCK, held for life.

The lock is the operating system's (flock, on Windows a locked byte), so it goes with its holder, however he
ends: a LOCK file left by a dead process is no obstacle. The holder's pid and host are written into the file,
only for the message to the next one. A forked child closes its copy of the descriptor at once
(`release_in_child`), else the lock would outlive its holder inside the child.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path

from tocsin.errors import StoreError

from .files import close_file, store_error

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Windows locks bytes, not files, and a locked byte cannot be read: lock one far behind the text.
_LOCKED_BYTE = 1 << 30


class StoreLock:
    """Holds the store's lock from creation to `release()`; raises StoreError that names the holder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "LOCK"
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as cause:
            raise store_error(
                "cannot write to the store (open it with read_only=True to read only); lock file",
                self.path,
                cause,
            ) from cause
        try:
            _lock(self._fd)
        except OSError as cause:
            holder = ""
            with contextlib.suppress(OSError):
                holder = os.read(self._fd, 400).decode(errors="replace").strip()
            close_file(self._fd)
            holder = holder or "an unknown process"
            raise StoreError(
                f"the store {str(folder)!r} is in use by {holder}; "
                "one process writes at a time, others may open it with read_only=True"
            ) from cause
        try:
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except OSError as cause:
            close_file(self._fd)
            raise store_error("cannot write the lock file", self.path, cause) from cause

    def release(self) -> None:
        """Give the lock back; the file stays, empty."""
        with contextlib.suppress(OSError):  # its text is only for messages
            os.ftruncate(self._fd, 0)
        close_file(self._fd)

    def release_in_child(self) -> None:
        """After a fork, in the child: let go without unlocking for the parent."""
        close_file(self._fd)


def _lock(fd: int) -> None:
    if sys.platform == "win32":
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
    else:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
