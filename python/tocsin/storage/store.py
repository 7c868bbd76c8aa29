"""The store: a directory of logs, one process writing, any number reading.

    trades.store/tocsin.json              {"format": "tocsin store", "version": 2}: what makes the directory
    ours
                 LOCK                     held by the writing process (lock.py)
                 streams/<name>/          events, a log per stream (log.py, names.py)
                 matches/<trigger>/       matches, a log per trigger; same code, same format; and how far handlers are
                                          (handled.py)
                 checkpoints/             what triggers knew (checkpoints.py); the engine's

`Store` speaks for the streams, `Store.matches` (a `LogFolder`, as is what Store itself stands on) for the
matches. A directory that is not empty and has no tocsin.json is somebody else's: it is refused and not
touched.

durability   an accepted event survives       when `append` returns
"commit"     kill -9 and power failure        after an fsync, shared by the threads that wait for one
"interval"   kill -9; a power failure takes   after the write; a background thread syncs
             at most the last `interval_ms`   every `interval_ms`
"none"       kill -9                          after the write; the system syncs when it likes, `close` at last

What is prepared for: further index sections (the index has its own magic and version).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tocsin.errors import StoreError

from .checkpoints import CheckpointFolder
from .flusher import Flusher
from .folder import LogFolder
from .lock import StoreLock
from .manifest import check_directory, claim
from .options import Compression, Durability, LogOptions
from .places import Places


class Store(LogFolder):
    """The durable log of events and matches in a directory; made if it does not exist.

    Args:
        path: the store's directory.
        durability: "interval" (default), "commit" or "none"; what an accepted event survives, see the module.
        interval_ms: how often "interval" syncs.
        segment_bytes: about how large one file gets.
        segment_seconds: after so long the next append begins a new file; None: by size alone.
        compression: None, "lz4" or "zstd", of what is written from now on; any Arrow reader reads it. A compressed
            batch is decoded when it is read, not mapped.
        filesystems: by name, for `tier(to="name://folder")`: a pyarrow.fs.FileSystem, or one of fsspec's. Names go to
            disk, what they stand for does not: give them at every opening.
        read_only: take no lock, change nothing; may be used beside the process that writes, and sees what it
            has accepted so far.

    Raises:
        StoreError: the directory is not a tocsin store, or of another version, or cannot be written, or another
            process has it (the message names it); ours or not, nothing was changed. Or an option is wrong.

    `store.recovered` lists what opening it put right, such as a torn tail that was cut off; `store.matches`
    has the same methods for the matches of triggers.

    >>> import tempfile
    >>> import pyarrow as pa
    >>> with Store(tempfile.mkdtemp() + "/trades.store") as store:
    ...     trades = pa.schema([("ts", pa.int64()), ("price", pa.float64())])
    ...     log = store.create_stream("trades", trades, time="ts")
    ...     first = store.append("trades", {"ts": [10, 20, 30], "price": [1.0, 2.0, 3.0]})
    ...     store.scan("trades", start=15, columns=["price"]).read_all().to_pydict()
    {'price': [2.0, 3.0]}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "interval",
        interval_ms: float = 50,
        segment_bytes: int = 128 << 20,
        segment_seconds: float | None = None,
        compression: Compression | None = None,
        filesystems: Mapping[str, Any] | None = None,
        read_only: bool = False,
    ) -> None:
        options = LogOptions(durability, segment_bytes, segment_seconds, compression)
        if not interval_ms > 0:
            raise StoreError(f"interval_ms={interval_ms!r} must be positive")
        self.path = Path(path)
        places = Places(self.path, filesystems)
        self.read_only = read_only
        self._store_lock: StoreLock | None = None
        fresh = check_directory(self.path, read_only)
        if not read_only:
            self._store_lock = claim(self.path, fresh)
        flusher: Flusher | None = None
        try:
            flusher = None if read_only else Flusher(interval_ms / 1000)
            super().__init__(self.path / "streams", options, flusher, places)
            self.matches = LogFolder(self.path / "matches", options, flusher, places)
            self.checkpoints = CheckpointFolder(self.path / "checkpoints")
        except BaseException:
            if flusher is not None:
                flusher.stop()
            if self._store_lock is not None:
                self._store_lock.release()
            raise
        self.recovered += self.matches.recovered
        _open_stores.add(self)

    def sync(self) -> None:
        """Return when everything appended so far, events and matches, is on the device.

        Raises:
            StoreError: the system cannot sync; the message names the events that a power failure might take.

        >>> import tempfile, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store", durability="none") as store:
        ...     store.sync()
        """
        super().sync()
        self.matches.sync()

    def close(self) -> None:
        """Make everything durable and let the store go. A second call does nothing.

        Raises:
            StoreError: something could not be made durable; the store is closed all the same.

        >>> import tempfile, tocsin as tc
        >>> store = tc.Store(tempfile.mkdtemp() + "/a.store")
        >>> store.close()
        """
        if self._closed:
            return
        if self._flusher is not None:
            self._flusher.stop()
        failures = self._close() + self.matches._close()
        if self._store_lock is not None:
            self._store_lock.release()
        _open_stores.discard(self)
        if failures:
            raise failures[0]

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<tocsin.Store {str(self.path)!r}{' closed' if self._closed else ''}>"

    def _leave_in_child(self) -> None:
        self._abandon()
        self.matches._abandon()
        if self._store_lock is not None:
            self._store_lock.release_in_child()


_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A child has copies of the descriptors but not the flusher; its stores are closed for it."""
    for store in list(_open_stores):
        store._leave_in_child()
    _open_stores.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
