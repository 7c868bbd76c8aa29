"""The logs under one folder, by name: declare, append, scan, list.

A store has two such folders, for streams and for matches. Opening one opens (and recovers) every log in it; a
log whose schema cannot be read is set aside with its error, so that the others stay usable. A reader looks
for new streams when it is asked for one that it does not know.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tocsin.errors import ClosedError, SchemaError, StoreError

from .files import make_folder, store_error, sync_folder
from .flusher import Flusher
from .info import StreamInfo, Tiered, Trimmed, stream_info
from .keys import Hashes, hashes_of
from .log import Log
from .names import decode_name, encode_name
from .options import LogOptions
from .places import Places
from .prune import Pruner
from .recovery import Recovered
from .retention import Age, Retention, make_retention
from .scan import scan_batches
from .schema import FILE as SCHEMA_FILE
from .schema import check_lookup, check_schema, difference, key_values, load_schema, save_schema
from .tiering import Reasons
from .times import TimeValue, parse_bound


class LogFolder:
    """The logs under one folder, by name. `Store` and `Store.matches` have its methods."""

    def __init__(self, folder: Path, options: LogOptions, flusher: Flusher | None, places: Places) -> None:
        self._folder = folder
        self._places = places
        self._options = options
        self._flusher = flusher
        self._keeper: Flusher | None = None
        if flusher is not None:
            self._keeper = Flusher(0, Log.retain_in_background, "tocsin-store-retention")
        self._lock = threading.Lock()
        self._logs: dict[str, Log] = {}
        self._damaged: dict[str, StoreError] = {}
        self._closed = False
        self.recovered: list[Recovered] = []
        self._open_logs()

    def create_stream(
        self,
        name: str,
        schema: pa.Schema,
        time: str | None = None,
        *,
        lookup: Sequence[str] | None = None,
        keep: Age | None = None,
        keep_bytes: int | None = None,
        tier_to: Any = None,
        tier_keep: Age | None = None,
    ) -> Log:
        """Declare a stream, or find it as it was declared.

        Args:
            name: 1 to 200 bytes, as a folder's name counts them (names.py).
            schema: pyarrow.Schema of its events; any types that Arrow IPC can carry.
            time: the time column by which `scan` can select: a timestamp, date, or integer (not uint64); or None.
            lookup: columns by whose values `scan(keys=, where=)` can choose, such as an account: for each batch a
            small
                filter says which values it may hold, and a range what they lie between. None: none, or as the
                stream was declared.
            keep, keep_bytes, tier_to, tier_keep: what leaves it by itself; as in `retain`, which takes it back. None of
                them: as it was in this opening of the store, at first nothing.

        Returns:
            Its Log, which can append and scan without a look-up by name.

        Raises:
            SchemaError: it exists with another schema or time column (the difference is shown), or no stream can have
                this schema. StoreError: it cannot be made. ClosedError: the store is closed.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store") as store:
        ...     log = store.create_stream("trades", pa.schema([("price", pa.float64())]))
        ...     log.append({"price": [1.0, 2.0]}), log.next_sequence
        (0, 2)
        """
        check_schema(name, schema, time)
        if lookup is not None:
            check_lookup(name, schema, tuple(lookup))
        place = None if tier_to is None else self._places.text_of(tier_to)
        kind = None if time is None else schema.field(time).type
        retention = make_retention(name, kind, keep, keep_bytes, place, tier_keep)
        log = self._declare(name, schema, time, lookup)
        if retention is not None:
            self._set_retention(log, retention)
        return log

    def _declare(self, name: str, schema: pa.Schema, time: str | None, lookup: Sequence[str] | None) -> Log:
        with self._lock:
            self._check_open()
            if name in self._damaged:
                raise StoreError(str(self._damaged[name])) from self._damaged[name]
            if name in self._logs:
                self._check_same(self._logs[name], schema, time, lookup)
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
                make_folder(folder)
                save_schema(folder, name, schema, time, tuple(lookup or ()))
                sync_folder(self._folder)
            except OSError as cause:
                raise store_error(f"cannot create stream {name!r} in", folder, cause) from cause
            self._logs[name] = log = self._open_log(folder, name, schema, time, tuple(lookup or ()))
            return log

    def log(self, stream: str) -> Log:
        """The log of a stream, for many appends without a look-up each.

        Args:
            stream: its name.

        Raises:
            StoreError: there is no such stream, or it is damaged.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store") as store:
        ...     log = store.create_stream("trades", pa.schema([("price", pa.float64())]))
        ...     store.log("trades") is log
        True
        """
        log = self._logs.get(stream)
        if log is None:
            log = self.find(stream)
        if log is None:
            if stream in self._damaged:
                raise StoreError(str(self._damaged[stream])) from self._damaged[stream]
            raise StoreError(
                f"there is no stream {stream!r} in {str(self._folder)!r}; there are {sorted(self._logs)}; "
                "declare it with create_stream"
            )
        return log

    def find(self, stream: str) -> Log | None:
        """The log of a stream, if there is one.

        Args:
            stream: its name.

        Returns:
            Its Log; None: there is no such stream, or it is damaged.

        Raises:
            ClosedError: the store is closed.

        >>> import tempfile, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store") as store:
        ...     store.find("trades") is None
        True
        """
        with self._lock:
            self._check_open()
            if self._flusher is None:
                self._open_logs()
            return self._logs.get(stream)

    def append(self, stream: str, data: Any) -> int:
        """Store events, all of them or none. May be called from several threads.

        Args:
            stream: its name.
            data: a record batch, a table, anything with `__arrow_c_array__` or `__arrow_c_stream__`, or a dict of
                arrays, with the columns of the stream in any order. Text and bytes may come in any Arrow layout, all
                other types must be the stream's.

        Returns:
            The sequence (int) of the first event; of the next one, if there are none.

        Raises:
            SchemaError: the data do not fit. StoreError: there is no such stream, or the disk refuses. Nothing was
            stored then.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store") as store:
        ...     log = store.create_stream("trades", pa.schema([("price", pa.float64())]))
        ...     store.append("trades", {"price": [1.0, 2.0]}), store.append("trades", {"price": [3.0]})
        (0, 2)
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
        keys: Mapping[str, Any] | None = None,
        columns: list[str] | None = None,
        sequence_column: str | None = None,
        verify: bool = True,
    ) -> pa.RecordBatchReader:
        """The stored events in order of sequence, as a reader that fetches batch by batch.

        Args:
            stream: its name.
            start, stop: start <= time < stop: datetime, date, np.datetime64, ISO text, pyarrow scalar, or
                integer in the time column's unit. Events without a time are left out when either is given.
            sequence: (first, stop), half-open; None for an open end.
            where: a pyarrow expression over any of the stream's columns; only rows where it is true come out. Batches
                where the smallest and largest values of the look-up columns and the time rule that out are not read.
            keys: {column: value, or a list of values}: only rows with one of these values in each column come out. In
                columns that the stream was declared with as `lookup`, batches without the value are not read.
            columns: the columns wanted, in this order; all by default.
            sequence_column: add the events' sequences as an int64 column of this name, as the last one.
            verify: check the checksum of every batch read.

        Returns:
            A pyarrow.RecordBatchReader. It sees what was accepted (with durability="commit": what is durable) when it
            was made, whatever is appended meanwhile. Batches have the sizes they were appended with, cut at the
            bounds; none is empty.

        Raises:
            SchemaError: bounds, columns or conditions that do not fit. StoreError: there is no such stream; from the
            reader, where it meets damage: the message tells the place and how to read on behind it.

        >>> import tempfile, pyarrow as pa, pyarrow.compute as pc, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store") as store:
        ...     log = store.create_stream("trades", pa.schema([("ts", pa.int64()), ("price", pa.float64())]), time="ts")
        ...     first = store.append("trades", {"ts": [10, 20, 30], "price": [1.0, 2.0, 3.0]})
        ...     store.scan("trades", stop=30, where=pc.field("price") > 1, sequence_column="n").read_all().to_pylist()
        [{'ts': 20, 'price': 2.0, 'n': 1}]
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
        hashes: list[tuple[int, Hashes]] = []
        for column, wanted in (keys or {}).items():
            values = key_values(stream, log.schema, column, wanted)
            exact = pc.field(column).isin(values)
            where = exact if where is None else where & exact
            if column in log.lookup:
                hashes.append((log.lookup.index(column), hashes_of(values)))
        pruner = None if where is None else Pruner(where, log.schema, log.time, log.lookup)
        query = log.query(
            first_sequence=first,
            stop_sequence=after,
            where=where,
            columns=None if columns is None else list(columns),
            sequence_name=sequence_column,
            verify=verify,
            keys=tuple(hashes),
            pruner=pruner,
            **bounds,
        )
        return pa.RecordBatchReader.from_batches(query.output_schema(), scan_batches(log.snapshot(), query))

    def streams(self) -> dict[str, StreamInfo]:
        """What there is, by name.

        Returns:
            A dict of StreamInfo: schema, time column, rows, next sequence, time range, batches, segments, bytes. A
            stream whose schema is damaged is in `damaged()` instead.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store") as store:
        ...     log = store.create_stream("trades", pa.schema([("ts", pa.int64())]), time="ts")
        ...     first = store.append("trades", {"ts": [10, 20, 30]})
        ...     info = store.streams()["trades"]
        ...     info.rows, [bound.as_py() for bound in info.time_range]
        (3, [10, 30])
        """
        with self._lock:
            self._check_open()
            if self._flusher is None:
                self._open_logs()
            logs = list(self._logs.values())
        return {log.name: stream_info(log) for log in logs}

    def retain(
        self,
        stream: str,
        *,
        keep: Age | None = None,
        keep_bytes: int | None = None,
        tier_to: Any = None,
        tier_keep: Age | None = None,
    ) -> None:
        """Say what leaves a stream by itself from now on, in whole files, whenever one is complete; nothing given:
        nothing.

        Args:
            stream: its name.
            keep: events older than this leave: "30d", "12h", a timedelta, or seconds; in the unit of a time column of
                integers a whole number. Older than the newest event, that is, by their times; without a time column, by
                when their file was last written.
            keep_bytes: the oldest leave while the store's own files of the stream are more than this.
            tier_to: they go to Parquet there, as with `tier`; None: they are gone, as with `trim`.
            tier_keep: and are gone from there when they are older than this; None: they stay there.

        The file that grows stays, and so does what is held (`log.hold(name, sequence)`). It is no part of what is
        stored: declare it at every opening; a read_only store takes nothing away. The work is done on a thread of
        its own. What fails is logged once ("tocsin.storage"), told by `failing()`, and tried again when the next
        file is complete.

        Raises:
            StoreError: there is no such stream, or no such place. SchemaError: ages that do not fit.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store", segment_bytes=1) as store:
        ...     log = store.create_stream("trades", pa.schema([("day", pa.date32())]), time="day", keep="2d")
        ...     store.retain("trades", keep="3d", tier_to=tempfile.mkdtemp(), tier_keep="365d")
        ...     store.retain("trades")
        ...     log.retention is None
        True
        """
        log = self.log(stream)
        place = None if tier_to is None else self._places.text_of(tier_to)
        kind = None if log.time is None else log.schema.field(log.time).type
        self._set_retention(log, make_retention(stream, kind, keep, keep_bytes, place, tier_keep))

    def _set_retention(self, log: Log, retention: Retention | None) -> None:
        log.retention = retention
        if retention is None:
            log.failure = None
        elif self._keeper is not None:
            self._keeper.wake(log)

    def failing(self) -> dict[str, StoreError]:
        """Streams whose retention did not succeed the last time.

        Returns:
            A dict: name -> the StoreError that says why. Nothing was lost by it.

        >>> import tempfile, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store") as store:
        ...     store.failing()
        {}
        """
        return {log.name: log.failure for log in list(self._logs.values()) if log.failure is not None}

    def damaged(self) -> dict[str, StoreError]:
        """Streams that cannot be opened.

        Returns:
            A dict: name -> the StoreError that says why. The other streams are not affected.

        >>> import tempfile, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store") as store:
        ...     store.damaged()
        {}
        """
        return dict(self._damaged)

    def sync(self) -> None:
        """Return when everything appended so far is on the device.

        Raises:
            StoreError: the system cannot sync; the message names the events that a power failure might take.

        >>> import tempfile, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store", durability="none") as store:
        ...     store.sync()
        """
        for log in list(self._logs.values()):
            log.sync()

    def seal(self, stream: str | None = None) -> None:
        """Complete the growing segment, so that every Arrow reader can open it.

        Args:
            stream: its name; None: all streams. The next append begins another file.

        Raises:
            StoreError: there is no such stream, or the disk refuses; the segment then goes on growing.

        >>> import pathlib, tempfile, pyarrow as pa, tocsin as tc
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.store"
        >>> with tc.Store(path) as store:
        ...     log = store.create_stream("trades", pa.schema([("price", pa.float64())]))
        ...     first = store.append("trades", {"price": [1.0, 2.0]})
        ...     store.seal("trades")
        ...     segment, = (path / "streams" / "trades").glob("0*.arrow")
        ...     pa.ipc.open_stream(segment.read_bytes()).read_all().num_rows
        2
        """
        for log in list(self._logs.values()) if stream is None else [self.log(stream)]:
            log.seal()

    def trim(
        self,
        stream: str,
        *,
        before: TimeValue | None = None,
        sequence: int | None = None,
        max_bytes: int | None = None,
    ) -> Trimmed:
        """Take the oldest events away: whole sealed files, oldest first, as long as one of the reasons holds.

        Args:
            stream: its name.
            before: files all of whose events are older; as `start` of `scan`.
            sequence: files all of whose events lie before this sequence.
            max_bytes: as long as the stream's files are more than this, together, Parquet files (`tier`) too.

        The file that grows stays, so does what is held (`log.hold(name, sequence)`), and so do the sequences of what is
        left, and the next one. A scan that has begun and has
        not come to a file that goes raises StoreError there (on Windows a file that is being read cannot go).

        Returns:
            Trimmed(events, bytes): what is gone.

        Raises:
            StoreError: a file cannot be removed (those before it are gone), or the store is read_only. SchemaError:
            `before`, and there is no time column.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store", segment_bytes=1) as store:
        ...     log = store.create_stream("trades", pa.schema([("ts", pa.int64())]), time="ts")
        ...     for day in range(5):
        ...         first = store.append("trades", {"ts": [day, day]})
        ...     gone = store.trim("trades", before=3)
        ...     gone.events, store.scan("trades").read_all()["ts"].to_pylist()
        (6, [3, 3, 4, 4])
        """
        log = self.log(stream)
        return Trimmed(*log.trim(self._reasons(log, before, sequence, max_bytes)))

    def tier(
        self,
        stream: str,
        *,
        to: Any,
        before: TimeValue | None = None,
        sequence: int | None = None,
        max_bytes: int | None = None,
    ) -> Tiered:
        """Turn the oldest events to Parquet files: whole sealed files, oldest first, as long as one of the reasons
        holds.

        Args:
            stream: its name.
            to: where to: a local folder, a URI that pyarrow knows ("s3://bucket/folder"), or "name://folder" in a file
                system of `Store(filesystems={"name": ...})`. Below it each stream has a folder.
            before, sequence, max_bytes: the reasons, as in `trim`; max_bytes counts what is still in the store's own
            files.

        `scan`, `streams` and `trim` go over these events as before; a scan opens only Parquet files, and reads only
        row groups, that may have a row it asks for. Rows in a file are sorted by the look-up columns and the time,
        and have their sequence as a column, so that other programs can read the files as they are. A file is read
        again and compared before the store's own go.

        Returns:
            Tiered(events, bytes, files): what has left the store's own files, and how many Parquet files it is now.

        Raises:
            StoreError: they cannot be written or removed, or a column is of a type that Parquet would change; what
            had not gone by then is where it was. SchemaError: `before`, and there is no time column.

        >>> import tempfile, pyarrow as pa, pyarrow.parquet as pq, tocsin as tc
        >>> cold = tempfile.mkdtemp()
        >>> with tc.Store(tempfile.mkdtemp() + "/a.store", segment_bytes=1) as store:
        ...     log = store.create_stream("trades", pa.schema([("ts", pa.int64())]), time="ts")
        ...     for day in range(5):
        ...         first = store.append("trades", {"ts": [day, day]})
        ...     gone = store.tier("trades", to=cold, before=3)
        ...     gone.events, store.scan("trades").read_all()["ts"].to_pylist()
        (6, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
        >>> pq.read_table(cold)["sequence"].to_pylist()
        [0, 1, 2, 3, 4, 5]
        """
        log = self.log(stream)
        return Tiered(*log.tier(self._places.text_of(to), self._reasons(log, before, sequence, max_bytes)))

    def _reasons(
        self, log: Log, before: TimeValue | None, sequence: int | None, max_bytes: int | None
    ) -> Reasons:
        bound: int | None = None
        if before is not None:
            if log.time is None:
                raise SchemaError(f"stream {log.name!r} has no time column; give sequence= or max_bytes=")
            bound = parse_bound(before, log.schema.field(log.time).type, "before")
        return Reasons(bound, sequence, max_bytes)

    def _open_logs(self) -> None:
        try:
            found = sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())
        except FileNotFoundError:
            return
        except OSError as cause:
            raise store_error("cannot read the store's folder", self._folder, cause) from cause
        for encoded in found:
            name = decode_name(encoded)
            if name is None or name in self._logs:
                continue
            folder = self._folder / encoded
            try:
                if _is_unmade(folder):
                    continue
                schema, time, lookup, whole = load_schema(folder, name)
                if not whole and self._flusher is not None:
                    save_schema(folder, name, schema, time, lookup)
                    note = "the schema was restored from a segment"
                    self.recovered.append(Recovered(name, str(folder / SCHEMA_FILE), note))
                self._logs[name] = log = self._open_log(folder, name, schema, time, lookup)
                self.recovered += log.recovered
                self._damaged.pop(name, None)
            except StoreError as damage:
                self._damaged[name] = damage

    def _open_log(
        self, folder: Path, name: str, schema: pa.Schema, time: str | None, lookup: tuple[str, ...]
    ) -> Log:
        on_dirty = self._flusher.wake if self._flusher else _nothing_to_flush
        on_sealed = self._keeper.wake if self._keeper else _nothing_to_flush
        return Log(
            folder,
            name,
            schema,
            time,
            lookup,
            options=self._options,
            read_only=self._flusher is None,
            on_dirty=on_dirty,
            on_sealed=on_sealed,
            places=self._places,
        )

    def _check_same(
        self, log: Log, schema: pa.Schema, time: str | None, lookup: Sequence[str] | None
    ) -> None:
        if not log.schema.equals(schema):
            raise SchemaError(
                f"stream {log.name!r} exists with another schema: {difference(log.schema, schema)}"
            )
        if log.time != time:
            raise SchemaError(f"stream {log.name!r} exists with time column {log.time!r}, not {time!r}")
        if lookup is not None and log.lookup != tuple(lookup):
            raise SchemaError(
                f"stream {log.name!r} exists with look-up columns {list(log.lookup)}, not {list(lookup)}"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the store {str(self._folder.parent)!r} is closed")

    def _close(self) -> list[OSError]:
        with self._lock:
            self._closed = True
        for log in self._logs.values():
            log.stop_leaving()
        if self._keeper is not None:
            self._keeper.stop()
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


def _sequences(sequence: Any) -> tuple[int, int]:
    first, after = (None, None) if sequence is None else sequence
    for bound in (first, after):
        if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool) or bound < 0):
            raise SchemaError(f"sequence={sequence!r}: give (first, stop), whole numbers from 0 or None")
    largest = 2**63 - 1
    return min(first or 0, largest), largest if after is None else min(after, largest)


def _is_unmade(folder: Path) -> bool:
    """Whether making a stream got no further than its folder: no event was ever in it, create_stream makes it anew."""
    try:
        return all(name.endswith(".tmp") for name in os.listdir(folder))
    except OSError as cause:
        raise store_error("cannot read the stream's folder", folder, cause) from cause


def _nothing_to_flush(log: Log) -> None:
    raise StoreError(f"stream {log.name!r}: a store opened with read_only=True has nothing to sync")
