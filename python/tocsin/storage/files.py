"""All system calls of the store that change a file, in one room.

Everything the store writes goes through these functions, and they look `os.write`, `os.writev`, `os.fsync`,
`os.fdatasync`, `os.ftruncate` and `os.replace` up at each call: a test makes a full disk, a short write or a
failing fsync by replacing one of those names.

- `write_all` goes on after a short write until all bytes are there or the system reports why not; cleaning up
  what was written before the fault is the caller's work (only he knows the last whole batch).
- `sync_file` returns when the bytes are on the device (on macOS that takes F_FULLFSYNC, fsync alone does
  not).
- `replace_file` writes a small file aside, syncs it and renames it: readers see the old one or the new one.
- `store_error` makes the StoreError for an OSError: message with the file and the cause, `errno` and
  `filename` set.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tocsin.errors import StoreError

if sys.platform == "darwin":
    import fcntl

Piece = bytes | memoryview
_BINARY = getattr(os, "O_BINARY", 0)
# POSIX promises at least 16 pieces per writev, Linux and macOS take 1 024.
_PIECES_MAX = 512


def store_error(what: str, path: str | Path, cause: OSError | None = None) -> StoreError:
    """A StoreError that names what could not be done, the file, and the cause."""
    reason = "" if cause is None else f": {cause.strerror or cause}"
    return StoreError(f"{what} {str(path)!r}{reason}")


def open_append(path: Path) -> int:
    """A descriptor that writes at the end of a file that exists."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | _BINARY)


def open_read(path: Path) -> int:
    """A descriptor for `read_at`."""
    return os.open(path, os.O_RDONLY | _BINARY)


def close_file(fd: int) -> None:
    """Let a descriptor go. What close reports (a write that failed late), fsync has, or will: not told twice."""
    with contextlib.suppress(OSError):
        os.close(fd)


def write_all(fd: int, pieces: Sequence[Piece]) -> None:
    """Write all pieces one after the other, in one system call wherever the system takes them whole."""
    if not hasattr(os, "writev"):
        pieces = [b"".join(pieces)]
    waiting = [memoryview(piece) for piece in pieces if len(piece)]
    while waiting:
        if len(waiting) == 1:
            written = os.write(fd, waiting[0])
        else:
            written = os.writev(fd, waiting[:_PIECES_MAX])
        if written == 0:
            raise OSError(5, "the system wrote nothing and gave no reason")
        while waiting and written >= waiting[0].nbytes:
            written -= waiting[0].nbytes
            del waiting[0]
        if written:
            waiting[0] = waiting[0][written:]


def read_at(fd: int, offset: int, size: int) -> bytes:
    """`size` bytes from `offset`, fewer only where the file ends. Moves the descriptor's position."""
    os.lseek(fd, offset, os.SEEK_SET)
    block = os.read(fd, size)
    if len(block) == size or not block:
        return block
    blocks = [block]
    missing = size - len(block)
    while missing:  # the system may return less than asked for (2 GiB at most on Linux)
        block = os.read(fd, missing)
        if not block:
            break
        blocks.append(block)
        missing -= len(block)
    return b"".join(blocks)


def sync_file(fd: int) -> None:
    """Return when what was written to the file is on the device."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def remove_file(path: Path) -> None:
    """Takes a file away; one that is not there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def sync_folder(path: Path) -> None:
    """Make the folder's entries (new names, renames) durable; Windows does this by itself."""
    if os.name == "nt":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        close_file(fd)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there; the names of those made are durable then."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def replace_file(path: Path, pieces: Sequence[Piece]) -> None:
    """Put a whole new content in the file's place, or leave the old one as it was."""
    aside = path.with_name(path.name + ".tmp")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o644)
    try:
        try:
            write_all(fd, pieces)
            sync_file(fd)
        finally:
            close_file(fd)
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
