"""The store: a directory of logs, one process writing, any number reading.

    trades.store/tocsin.json              {"format": "tocsin store", "version": 1}: what makes the directory
    ours
                 LOCK                     held by the writing process (lock.py)
                 streams/<name>/          events, a log per stream (log.py, names.py)
                 matches/<trigger>/       matches, a log per trigger; same code, same format

`Store` speaks for the streams, `Store.matches` (a `LogFolder`, as is what Store itself stands on) for the
matches. A directory that is not empty and has no tocsin.json is somebody else's: it is refused and not
touched.

durability   an accepted event survives       when `append` returns
"commit"     kill -9 and power failure        after an fsync, shared by the threads that wait for one
"interval"   kill -9; a power failure takes   after the write; a background thread syncs
             at most the last `interval_ms`   every `interval_ms`
"none"       kill -9                          after the write; the system syncs when it likes, `close` at last

What is prepared for: segments dropped or turned to Parquet (names keep the sequence, index rows say what is
where), further index sections (the index has its own magic and version), checkpoints (a folder of their own).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tocsin.errors import ClosedError, SchemaError, StoreError

from .files import replace_file, store_error, sync_folder
from .index import ROWS, TIME_MAX, TIME_MIN
from .lock import StoreLock
from .log import Durability, Log
from .names import decode_name, encode_name
from .recovery import Recovered
from .scan import Query, scan_batches
from .schema import FILE as SCHEMA_FILE
from .schema import check_schema, difference, load_schema, save_schema
from .times import TimeValue, parse_bound

FORMAT, VERSION = "tocsin store", 1
_MANIFEST = "tocsin.json"
_OURS_BEFORE_MANIFEST = {"LOCK", _MANIFEST + ".tmp"}


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What `streams()` tells of one stream.

    Attributes:
        name, schema: as declared.
        time: the time column, or None.
        rows: events in the store.
        next_sequence: the sequence that the next event will get.
        time_range: (smallest, largest) value of the time column as scalars of its type; None without any.
        batches, segments, bytes: how they are stored.
    """

    name: str
    schema: pa.Schema
    time: str | None
    rows: int
    next_sequence: int
    time_range: tuple[pa.Scalar, pa.Scalar] | None
    batches: int
    segments: int
    bytes: int


class LogFolder:
    """The logs under one folder, by name. `Store` and `Store.matches` have its methods."""

    def __init__(
        self, folder: Path, durability: Durability, segment_bytes: int, flusher: _Flusher | None
    ) -> None:
        self._folder = folder
        self._durability: Durability = durability
        self._segment_bytes = segment_bytes
        self._flusher = flusher
        self._lock = threading.Lock()
        self._logs: dict[str, Log] = {}
        self._damaged: dict[str, StoreError] = {}
        self._closed = False
        self.recovered: list[Recovered] = []
        self._open_logs()

    def create_stream(self, name: str, schema: pa.Schema, time: str | None = None) -> Log:
        """Declare a stream, or find it as it was declared; returns its log.

        Raises SchemaError that shows the difference when it exists with another schema or time column.
        """
        check_schema(name, schema, time)
        with self._lock:
            self._check_open()
            if name in self._damaged:
                raise StoreError(str(self._damaged[name])) from self._damaged[name]
            if name in self._logs:
                self._check_same(self._logs[name], schema, time)
                return self._logs[name]
            if self._flusher is None:
                raise StoreError(f"cannot create stream {name!r}: the store was opened with read_only=True")
            folder = self._folder / encode_name(name)
            for other in self._logs:
                if other.casefold() == name.casefold():
                    raise StoreError(
                        f"stream {name!r} differs from {other!r} by case alone; choose another name"
                    )
            try:
                folder.mkdir(parents=True, exist_ok=True)
                save_schema(folder, name, schema, time)
                sync_folder(self._folder)
            except OSError as cause:
                raise store_error(f"cannot create stream {name!r} in", folder, cause) from cause
            self._logs[name] = log = self._open_log(folder, name, schema, time)
            return log

    def log(self, stream: str) -> Log:
        """The log of a stream, for many appends without a look-up each; StoreError when there is none."""
        log = self._logs.get(stream)
        if log is None:
            with self._lock:
                self._check_open()
                if self._flusher is None:
                    self._open_logs()
            log = self._logs.get(stream)
        if log is None:
            if stream in self._damaged:
                raise StoreError(str(self._damaged[stream])) from self._damaged[stream]
            raise StoreError(
                f"there is no stream {stream!r} in {str(self._folder)!r}; there are {sorted(self._logs)}; "
                "declare it with create_stream"
            )
        return log

    def append(self, stream: str, data: Any) -> int:
        """Store events; returns the sequence of the first one.

        `data` is a record batch, a table, anything with `__arrow_c_array__` or `__arrow_c_stream__`, or a
        dict of arrays, with the columns of the stream in any order. All of it is stored, or (SchemaError: it
        does not fit; StoreError: the disk) none of it. May be called from several threads.
        """
        return self.log(stream).append(data)

    def scan(
        self,
        stream: str,
        *,
        start: TimeValue | None = None,
        stop: TimeValue | None = None,
        sequence: tuple[int | None, int | None] | None = None,
        where: pc.Expression | None = None,
        columns: list[str] | None = None,
        sequence_column: str | None = None,
        verify: bool = True,
    ) -> pa.RecordBatchReader:
        """The stored events in order of sequence, as a reader that fetches batch by batch.

        Args:
            start, stop: start <= time < stop: datetime, date, np.datetime64, ISO text, pyarrow scalar, or
            integer in
                the time column's unit. Events without a time are left out when either is given.
            sequence: (first, stop), half-open; None for an open end.
            where: a pyarrow expression over any of the stream's columns; only rows where it is true come out.
            columns: the columns wanted, in this order; all by default.
            sequence_column: add the events' sequences as an int64 column of this name, as the last one.
            verify: check the checksum of every batch read.

        Sees what was accepted (with durability="commit": what is durable) when it is called, whatever is
        appended meanwhile. Batches have the sizes they were appended with, cut at the bounds; none is empty.

        Raises SchemaError for bounds, columns or conditions that do not fit; StoreError, from the reader,
        where it meets damage: the message tells the place and how to read on behind it.
        """
        log = self.log(stream)
        for what, kind in (("where", pc.Expression), ("columns", list | tuple)):
            value = {"where": where, "columns": columns}[what]
            if value is not None and not isinstance(value, kind):
                wanted = "a pyarrow.compute expression" if what == "where" else "a list of column names"
                raise SchemaError(f"stream {stream!r}: {what} must be {wanted}, not {type(value).__name__}")
        bounds: dict[str, Any] = {}
        if start is not None or stop is not None:
            if log.time is None:
                raise SchemaError(
                    f"stream {stream!r} has no time column; give sequence=(first, stop) instead"
                )
            bounds["time_column"] = log.schema.get_field_index(log.time)
            kind_of_time = log.schema.field(log.time).type
            if start is not None:
                bounds["start"] = parse_bound(start, kind_of_time, "start")
            if stop is not None:
                bounds["stop"] = parse_bound(stop, kind_of_time, "stop")
        first, after = _sequences(sequence)
        query = Query(
            stream,
            log.schema,
            first_sequence=first,
            stop_sequence=after,
            where=where,
            columns=None if columns is None else list(columns),
            sequence_name=sequence_column,
            verify=verify,
            **bounds,
        )
        return pa.RecordBatchReader.from_batches(query.output_schema(), scan_batches(log.snapshot(), query))

    def streams(self) -> dict[str, StreamInfo]:
        """What there is, by name. A stream whose schema is damaged is in `damaged()` instead."""
        with self._lock:
            self._check_open()
            if self._flusher is None:
                self._open_logs()
            logs = list(self._logs.values())
        return {log.name: _info(log) for log in logs}

    def damaged(self) -> dict[str, StoreError]:
        """Streams that cannot be opened, and why."""
        return dict(self._damaged)

    def sync(self) -> None:
        """Return when everything appended so far is on the device."""
        for log in list(self._logs.values()):
            log.sync()

    def seal(self, stream: str | None = None) -> None:
        """Complete the growing segment (of all streams, or one): every Arrow reader can then open all the files."""
        for log in list(self._logs.values()) if stream is None else [self.log(stream)]:
            log.seal()

    def _open_logs(self) -> None:
        if not self._folder.is_dir():
            return
        for entry in sorted(os.scandir(self._folder), key=lambda entry: entry.name):
            name = decode_name(entry.name)
            if name is None or name in self._logs or not entry.is_dir():
                continue
            folder = Path(entry.path)
            try:
                schema, time, whole = load_schema(folder, name)
                if not whole and self._flusher is not None:
                    save_schema(folder, name, schema, time)
                    note = "the schema was restored from a segment"
                    self.recovered.append(Recovered(name, str(folder / SCHEMA_FILE), note))
                self._logs[name] = log = self._open_log(folder, name, schema, time)
                self.recovered += log.recovered
                self._damaged.pop(name, None)
            except StoreError as damage:
                self._damaged[name] = damage

    def _open_log(self, folder: Path, name: str, schema: pa.Schema, time: str | None) -> Log:
        on_dirty = self._flusher.wake if self._flusher else _nothing_to_flush
        return Log(
            folder,
            name,
            schema,
            time,
            durability=self._durability,
            segment_bytes=self._segment_bytes,
            read_only=self._flusher is None,
            on_dirty=on_dirty,
        )

    def _check_same(self, log: Log, schema: pa.Schema, time: str | None) -> None:
        if not log.schema.equals(schema):
            raise SchemaError(
                f"stream {log.name!r} exists with another schema: {difference(log.schema, schema)}"
            )
        if log.time != time:
            raise SchemaError(f"stream {log.name!r} exists with time column {log.time!r}, not {time!r}")

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the store {str(self._folder.parent)!r} is closed")

    def _close(self) -> list[OSError]:
        with self._lock:
            self._closed = True
        failures: list[OSError] = []
        for log in self._logs.values():
            try:
                log.close()
            except OSError as failure:
                failures.append(failure)
        return failures

    def _abandon(self) -> None:
        self._closed = True
        for log in self._logs.values():
            log.abandon()


class Store(LogFolder):
    """The durable log of events and matches in a directory; made if it does not exist.

    Args:
        path: the store's directory.
        durability: "interval" (default), "commit" or "none"; what an accepted event survives, see the module.
        interval_ms: how often "interval" syncs.
        segment_bytes: about how large one file gets.
        read_only: take no lock, change nothing; may be used beside the process that writes, and sees what it
            has accepted so far.

    Raises StoreError: the directory is not a tocsin store, or of a newer version, or cannot be written, or
    another process has it (the message names it).

    `store.recovered` lists what opening it put right, such as a torn tail that was cut off; `store.matches`
    has the same methods for the matches of triggers.

    >>> import tempfile
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
        read_only: bool = False,
    ) -> None:
        if durability not in ("commit", "interval", "none"):
            raise StoreError(f'durability must be "commit", "interval" or "none", not {durability!r}')
        if not interval_ms > 0 or not segment_bytes > 0:
            raise StoreError(
                f"interval_ms={interval_ms!r} and segment_bytes={segment_bytes!r} must be positive"
            )
        self.path = Path(path)
        self.read_only = read_only
        self._store_lock: StoreLock | None = None
        fresh = _check_directory(self.path, read_only)
        if not read_only:
            self._store_lock = _claim(self.path, fresh)
        flusher: _Flusher | None = None
        try:
            flusher = None if read_only else _Flusher(interval_ms / 1000)
            super().__init__(self.path / "streams", durability, segment_bytes, flusher)
            self.matches = LogFolder(self.path / "matches", durability, segment_bytes, flusher)
        except BaseException:
            if flusher is not None:
                flusher.stop()
            if self._store_lock is not None:
                self._store_lock.release()
            raise
        self.recovered += self.matches.recovered
        _open_stores.add(self)

    def sync(self) -> None:
        super().sync()
        self.matches.sync()

    def close(self) -> None:
        """Make everything durable and let the store go. A second call does nothing."""
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


class _Flusher:
    """The thread behind durability="interval": sleeps until a log has something to sync."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._dirty: set[Log] = set()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self, log: Log) -> None:
        with self._changed:
            self._dirty.add(log)
            if self._thread is None:  # no thread for a store that is only opened and read
                self._thread = threading.Thread(target=self._run, name="tocsin-store-sync", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        self._stopped.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._dirty or self._stopped.is_set())
            self._stopped.wait(self._interval)  # let appends gather
            with self._changed:
                logs, self._dirty = self._dirty, set()
            for log in logs:
                log.sync_in_background()


def _check_directory(path: Path, read_only: bool) -> bool:
    """Refuse what is not a store; whether it is one still to be made. Touches nothing."""
    try:
        names = set(os.listdir(path))
    except FileNotFoundError:
        names = set()
        if read_only:
            raise StoreError(f"there is no store {str(path)!r} to read") from None
    except NotADirectoryError as cause:
        raise StoreError(f"{str(path)!r} is a file, not a tocsin store; choose another path") from cause
    except OSError as cause:
        raise store_error("cannot open the store", path, cause) from cause
    if _MANIFEST not in names:
        foreign = sorted(names - _OURS_BEFORE_MANIFEST)
        if foreign or read_only:
            why = f"it has {foreign[0]!r} and no {_MANIFEST}" if foreign else f"it has no {_MANIFEST}"
            raise StoreError(f"{str(path)!r} is not a tocsin store ({why}); it was left untouched")
        return True
    _check_manifest(path)
    return False


def _check_manifest(path: Path) -> None:
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
    except OSError as cause:
        raise store_error("cannot read", path / _MANIFEST, cause) from cause
    except ValueError:
        manifest = None
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != FORMAT
        or type(manifest.get("version")) is not int
    ):
        raise StoreError(
            f"{str(path / _MANIFEST)!r} does not say that this is a tocsin store, or it is damaged "
            f'(expected {{"format": "{FORMAT}", "version": {VERSION}}}); it was left untouched'
        )
    if manifest["version"] != VERSION:
        raise StoreError(
            f"the store {str(path)!r} has format version {manifest['version']}, this tocsin knows version {VERSION}; "
            "open it with a tocsin that knows it; it was left untouched"
        )


def _claim(path: Path, fresh: bool) -> StoreLock:
    """Take the lock, making the directory and its manifest if it is a new store."""
    if fresh:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise store_error("cannot make the store", path, cause) from cause
    lock = StoreLock(path)
    try:
        if fresh and not (path / _MANIFEST).exists():
            manifest = json.dumps({"format": FORMAT, "version": VERSION})
            replace_file(path / _MANIFEST, [manifest.encode() + b"\n"])
    except OSError as cause:
        lock.release()
        raise store_error("cannot make the store", path, cause) from cause
    return lock


def _sequences(sequence: tuple[int | None, int | None] | None) -> tuple[int, int]:
    first, after = (None, None) if sequence is None else sequence
    for bound in (first, after):
        if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool) or bound < 0):
            raise SchemaError(f"sequence={sequence!r}: give (first, stop), whole numbers from 0 or None")
    largest = 2**63 - 1
    return min(first or 0, largest), largest if after is None else min(after, largest)


def _info(log: Log) -> StreamInfo:
    views = [view for view in log.snapshot() if len(view.rows)]
    lows = [
        int(v.rows[timed, TIME_MIN].min())
        for v in views
        if (timed := v.rows[:, TIME_MIN] <= v.rows[:, TIME_MAX]).any()
    ]
    highs = [
        int(v.rows[timed, TIME_MAX].max())
        for v in views
        if (timed := v.rows[:, TIME_MIN] <= v.rows[:, TIME_MAX]).any()
    ]
    times = None
    if log.time is not None and lows:
        kind = log.schema.field(log.time).type
        times = (_scalar(min(lows), kind), _scalar(max(highs), kind))
    size = 0
    for view in views:
        with contextlib.suppress(OSError):
            size += view.path.stat().st_size
    return StreamInfo(
        log.name,
        log.schema,
        log.time,
        sum(int(v.rows[:, ROWS].sum()) for v in views),
        log.next_sequence,
        times,
        sum(len(v.rows) for v in views),
        len(views),
        size,
    )


def _scalar(value: int, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(value, pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)


def _nothing_to_flush(log: Log) -> None:
    raise StoreError(f"stream {log.name!r}: a store opened with read_only=True has nothing to sync")


_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A child has copies of the descriptors but not the flusher; its stores are closed for it."""
    for store in list(_open_stores):
        store._leave_in_child()
    _open_stores.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
