"""Engine: streams in, triggers over them, handlers out.

The face of the runtime (runtime.py: threads, locks, order). Events of a stream reach its triggers in the order in which
they were accepted, and the triggers upon triggers right after their parent. With a store, an event is in the
store before any trigger sees it, and a match is in the match log before any handler gets it.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from tocsin_core.operator import Operator
from tocsin_core.row_builder import datetime_ns
from tocsin_core.schema import Schema
from tocsin_core.status import SchemaError, TocsinError

from .compile import build_operators
from .dead_letters import DEAD_LETTER_SCHEMA, LETTERS_MAX, DeadLetter, DeadLetters
from .duration import duration_ns
from .errors import StoreError
from .inflow import MARKS_SCHEMA
from .limits import check_limit, state_limits
from .match_log import MatchLog, stored_schema
from .outlet import Outlet
from .progress import Progress
from .recovery import Part, Recovered, Recovery
from .replaying import Replayed, replay
from .runtime import Runtime
from .stats import EngineStats, engine_stats
from .storage import Store
from .stream import LATE_LIMIT, Stream
from .ticket import TicketBook
from .times import unit_ns
from .trigger import Trigger

if TYPE_CHECKING:
    from .sync import Sync

WORKERS_MAX = 64
GATHER_ROWS_MAX = 1 << 20


class Engine:
    """Matches events while they flow.

    Args:
        path: directory of the store (made if missing), or a Store, which stays open at the end; None: in memory.
        workers: how many threads match, besides the one that calls handlers: 1, up to 64, or "auto", one for each
            processor. Of several, each keeps the state of its own partitions; a pattern without PARTITION BY runs on
            one of them. Matches, their order and faults are the same. 0 does all in the thread that pushes.
        ring_slots: how many batches may wait for the worker (rounded up to a power of two).
        overflow: what a push does when so many wait: "block" waits (Ctrl-C works), "raise" raises BackpressureError
            and accepts nothing, "drop_oldest" lets the oldest batch go that no worker has begun: it counts in
            `Stream.dropped`, and the first one is logged as a warning. With workers=0 nothing waits.
        overflow_timeout: seconds after which a push with overflow="block" gives up: it raises BackpressureError and
            accepts nothing. None: it waits as long as it takes.
        wait: how threads wait: "block" spins for some microseconds, then sleeps, so an idle engine uses no processor;
            "yield" spins and gives its time slice away in turn; "spin" never gives it away. The last two answer
            sooner, and keep one processor busy for each thread of the engine (the workers and the one that calls
            handlers): have more processors than these. With one processor, "spin" is "yield".
        gather_rows: at most so many events that are pushed one by one, or a few at a time (up to 64), become one batch
            while the workers are busy; when they are idle, each goes at once. It is only a batch to handlers, and for a
            fault, which refuses a whole batch; 1: each push stays a batch. With a store or lateness it always does.
        durability: of the store at `path`: "interval", "commit" or "none".
        checkpoint_every: with a store: how often what triggers know is written down by itself, "10s", a timedelta or
            seconds; None: only at the end, and by `checkpoint()`. A crash costs the time to see the events since once
            more. With overflow="drop_oldest" there are none, and triggers begin afresh: what they saw is not what the
            store has.
        retries: how often a handler that failed is called again.
        backoff: seconds before the first of these calls; doubled for each further one.
        dead_letter_limit: how many dead letters of each trigger are kept in memory, without a store. Beyond, the oldest
            leave; they are counted (`Trigger.dead_letters_dropped`) and the log says so. None: no limit.

    Raises:
        StoreError: the store cannot be used. ValueError: a wrong option.

    `close` (or the end of a with block) ends the input: all pushed events are matched and handled, patterns say what
    only the end of input settles, handlers finish. In a coroutine use `async with`, which does not block the event
    loop. With a store nothing ends there: what is open stays open, and a later Engine on it goes on where this one was,
    after a crash as well (`recover`); `close(finish=True)` ends the input.

    >>> import pyarrow as pa, tocsin as tc
    >>> with tc.Engine(workers=0) as engine:
    ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
    ...     large = engine.trigger("large", trades, tc.col("price") > 3)
    ...     _ = trades.push({"price": [2.5, 4.0]})
    ...     large.matched
    1
    """

    def __init__(
        self, path: str | os.PathLike[str] | Store | None = None, *, workers: int | Literal["auto"] = 1,
        ring_slots: int = 1024, overflow: Literal["block", "raise", "drop_oldest"] = "block",
        overflow_timeout: float | None = None, wait: Literal["block", "yield", "spin"] = "block",
        gather_rows: int = 1024, durability: Literal["commit", "interval", "none"] = "interval",
        checkpoint_every: Any = "10s", retries: int = 3, backoff: float = 0.01,
        dead_letter_limit: int | None = LETTERS_MAX,
    ) -> None:  # fmt: skip
        if workers == "auto":
            workers = min(processors(), WORKERS_MAX)
        if type(workers) is not int or not 0 <= workers <= WORKERS_MAX:
            raise ValueError(
                f'workers={workers!r}: give a number of threads from 1 to {WORKERS_MAX}, "auto" (one for each '
                "processor), or 0 (all in the thread that pushes)"
            )
        if overflow not in ("block", "raise", "drop_oldest"):
            raise ValueError(f'overflow={overflow!r}: "block", "raise" or "drop_oldest"')
        if overflow_timeout is not None and (overflow != "block" or not overflow_timeout >= 0):
            raise ValueError(
                f'overflow_timeout={overflow_timeout!r}: seconds, not below zero, and only for overflow="block"'
            )
        if wait not in ("block", "yield", "spin"):
            raise ValueError(f'wait={wait!r}: "block", "yield" or "spin"')
        if type(gather_rows) is not int or not 1 <= gather_rows <= GATHER_ROWS_MAX:
            raise ValueError(f"gather_rows={gather_rows!r}: an int between 1 and {GATHER_ROWS_MAX}")
        if retries < 0 or backoff < 0:
            raise ValueError(f"retries={retries!r} and backoff={backoff!r} must not be below zero")
        if dead_letter_limit is not None and (type(dead_letter_limit) is not int or dead_letter_limit < 1):
            raise ValueError(
                f"dead_letter_limit={dead_letter_limit!r} must be a whole number of at least 1, or None"
            )
        every = _every(checkpoint_every)
        self._dead_letter_limit = dead_letter_limit
        self._store: Store | None
        self._owns_store = path is not None and not isinstance(path, Store)
        self._store = path if isinstance(path, Store) or path is None else Store(path, durability=durability)
        self._retries = retries
        self._backoff = backoff
        self._streams: dict[str, Stream] = {}
        self._triggers: dict[str, Trigger] = {}
        try:
            self._runtime = Runtime(
                workers,
                ring_slots,
                overflow,
                overflow_timeout=overflow_timeout,
                wait=wait,
                gather_rows=gather_rows,
            )
        except BaseException:
            if self._store is not None and self._owns_store:
                self._store.close()
            raise
        self._recovery: Recovery | None = None
        try:
            if self._store is not None and not self._runtime.drops:
                self._recovery = Recovery(self._runtime, self._store, every)
        except BaseException:
            self._runtime.close(finish=False)
            raise
        finally:
            if self._store is not None and self._owns_store:
                self._runtime.on_closed.append(self._store.close)
                if self._runtime.state == "closed":
                    self._store.close()
        self._finalizer = weakref.finalize(self, _dropped, self._runtime)
        self._finalizer.atexit = False  # runtime.py sees to the end of the interpreter

    # ------------------------------------------------------------------ streams and triggers

    def stream(
        self, name: str, schema: Any, *, time: str | None = None, lateness: Any = "0s", late_limit: int = LATE_LIMIT
    ) -> Stream:  # fmt: skip
        """Declare a stream.

        Args:
            name: unique among the engine's streams and triggers.
            schema: pyarrow.Schema, or anything with `__arrow_c_schema__`.
            time: the event time column: a timestamp, date or integer. Events come in its order, or are late.
            lateness: how far behind the newest time the watermark stays: "2s", a timedelta, or for an integer
                column a number in its unit. Events out of order within it are put in order before triggers see them.
            late_limit: how many late events are kept for `Stream.late()`; beyond, the oldest go, counted and told once.

        Returns:
            The Stream. Events behind the watermark (late ones) reach no trigger; they are counted, kept for
            `Stream.late()`, and are in the store. With a store, a stream of this name continues there.

        Raises:
            SchemaError: a schema, time column or lateness that does not do; a stream of the store with another schema.
            TocsinError: the name is taken. StoreError: the store cannot make the stream.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine() as engine:
        ...     schema = pa.schema([("ts", pa.timestamp("us")), ("price", pa.float64())])
        ...     engine.stream("trades", schema, time="ts", lateness="2s")
        Stream('trades', 2 columns, time='ts')
        """
        self._runtime.check()
        self._check_name(name, "stream")
        check_limit(f"stream {name!r}", "late_limit", late_limit, lowest=0)
        schema = schema if isinstance(schema, pa.Schema) else pa.schema(schema)
        if len(schema) == 0:
            raise SchemaError(f"stream {name!r} must have at least one column")
        twice = [column for column in schema.names if schema.names.count(column) > 1]
        if twice:
            raise SchemaError(f"stream {name!r} has the column {twice[0]!r} twice; rename one")
        Schema.from_arrow(schema)
        wait = 0
        if time is None:
            if lateness not in ("0s", 0):
                raise SchemaError(f"stream {name!r}: lateness={lateness!r} needs a time column; give time=")
        else:
            if time not in schema.names:
                raise SchemaError(f"stream {name!r} has no column {time!r}{_nearest(time, schema.names)}")
            wait = _lateness(lateness, schema.field(time))
        log, open_marks = None, None
        if self._store is not None:
            log = self._store.create_stream(name, schema, time=time)
            if time is not None:
                open_marks = partial(_open_marks, self._store, f"watermarks/{name}")
        self._streams[name] = Stream(
            self, self._runtime, name, schema, time, wait, log, late_limit, open_marks, self._recovery
        )
        return self._streams[name]

    def trigger(
        self, name: str, source: str | Stream | Trigger, definition: Any, *, max_steps: int | None = None,
        max_partial_matches: int | None = None, max_partitions: int | None = None, ordered: bool = True,
        backfill: Any = None,
    ) -> Trigger:  # fmt: skip
        """Set a trigger on a stream, or on another trigger's matches; it sees the events from the next batch on.

        Args:
            name: unique among the engine's streams and triggers.
            source: a Stream, a Trigger, or the name of one.
            definition: a condition (`tc.col("price") > 3`, or as text, "price > 3"), a MATCH_RECOGNIZE clause as text,
                or an Operator of the core (not one that another trigger has).
            max_steps: as in match_recognize: how many steps one attempt may take; beyond, it is left out and reported.
            max_partial_matches: how many attempts may be open when a batch comes; with more, the batch is refused with
                LimitError, as one with any other fault is: it goes to the dead letters, and counts as a fault.
                Attempts close as the watermark moves on, and then batches are taken again. None: no limit.
            max_partitions: the same for the partitions seen so far, which do not go away. (Limits are for all workers
                together; several workers look some batches ahead, so a batch or two more may be taken.)
            ordered: matches come in the order of the events that made them certain, whatever the number of workers.
                False: what each worker found in a batch comes as a batch of its own, in no order among them; that
                saves the merge.
            backfill: with a store, for a new trigger on a stream: True: it sees all events that the store has; a time
                (as `start` of `Store.scan`): those from the first one of that time on. That goes on in the background,
                without holding the stream up; then the trigger joins it at an exact event, none missed and none twice.
                `Trigger.caught_up` waits for it. Meanwhile its handlers are called on a thread of their own. What a
                trigger that the store knows already has missed it always sees.

        Returns:
            The Trigger. A condition passes whole events on; the matches of a clause are its partition columns, then
            its measures. ORDER BY is a promise about the stream that is checked: nothing is sorted here.

        Raises:
            PatternError: the definition is wrong for the source; the message shows the place.
            TypeError: `definition` is none of these.
            SchemaError: an Operator for other events; a `backfill` that is no time of the stream.
            TocsinError: a name that is taken or unknown; `backfill` without a store, or of a trigger upon a trigger, or
                of an Operator; a source that has not caught up with its stream.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     rise = engine.trigger("rise", trades, "MEASURES LAST(up.price) AS top "
        ...                                           "PATTERN (any up{2,}) DEFINE up AS price > PREV(price)")
        ...     high = engine.trigger("high", rise, tc.col("top") > 10)
        ...     _ = trades.push({"price": [1.0, 2.0, 3.0, 2.0, 8.0, 12.0, 1.0]})
        ...     rise.matched, high.matched
        (2, 1)
        """
        self._runtime.check()
        self._check_name(name, "trigger")
        limits = state_limits(f"trigger {name!r}", max_partial_matches, max_partitions)
        parent = self._source(source)
        if backfill is not None:
            self._check_backfill(name, parent, definition, backfill)
        feeder: Any
        if isinstance(parent, Stream):
            feeder, timed = parent._intake, parent.time is not None
        else:
            feeder, timed = parent._operator, False
        placed = self._store is not None and not isinstance(definition, Operator)
        if isinstance(definition, Operator):
            operator, schema, build = definition, pa.schema(definition.output), None
            mark = type(definition).__name__
            operators = [operator]
            if any(other._operator is operator for other in list(self._triggers.values())):
                raise TocsinError(
                    f"trigger {name!r}: this operator belongs to another trigger; make a new one"
                )
            mismatch = operator.input.mismatch(Schema.from_arrow(parent.schema))
            if mismatch:
                raise SchemaError(f"trigger {name!r}, source {parent.name!r}: {mismatch}")
        else:
            # What follows a trigger sees its matches one after the other: by partition only on a stream.
            workers = self._runtime.workers if isinstance(parent, Stream) else 1
            build = partial(build_operators, definition, parent.schema, max_steps=max_steps, placed=placed)
            operators, schema, mark = build(workers=workers)
            operator = operators[0]
            timed = timed and getattr(operator, "order_column", None) in (None, getattr(parent, "time", None))

        def limited(operators: list[Operator]) -> list[Operator]:
            for one in operators:
                one.limit(*limits)
            return operators

        def again(count: int) -> list[Operator]:
            return operators if build is None else limited(build(workers=count or own).operators)

        limited(operators)
        own = len(operators)
        store, log = self._store, None
        open_dead: Callable[[], Any] | None = None
        if store is not None:
            log = _match_log(store, name, schema)
            letters = f"dead_letters/{name}"

            def open_dead(store: Store = store, letters: str = letters) -> Any:
                return store.create_stream(letters, DEAD_LETTER_SCHEMA)

        above = parent._book if isinstance(parent, Stream) else parent._outlet
        book = above if isinstance(above, TicketBook) else above.book
        dead = DeadLetters(name, open_dead, self._dead_letter_limit)
        outlet = Outlet(
            name, parent.name, schema, log, dead, self._runtime.dispatch,
            upstream=above, book=book, inline=self._runtime.inline,
        )  # fmt: skip
        trigger = Trigger(self, name, parent, operators, outlet, self._retries, self._backoff)
        runtime, recovery = self._runtime, self._recovery
        trigger._id = runtime.new_source()
        root, upon = _root(parent)
        part = Part(
            name, parent.name, root._inflow, None if upon is None else upon._part, operators, outlet, mark, trigger._id,
            parent._id, feeder, again, timed, ordered, placed, backfill,
        )  # fmt: skip
        trigger._part = part
        if recovery is not None:
            recovery.declare(part)
        else:
            if log is not None:
                log.begin(None)
                log.version = log.last_version() + 1
            part.join(runtime, 0 if log is None else log.next)
        self._triggers[name] = trigger
        return trigger

    def _check_backfill(self, name: str, parent: Stream | Trigger, definition: Any, backfill: Any) -> None:
        if self._recovery is None:
            raise TocsinError(
                f"trigger {name!r}: backfill= sees what a store has, and this engine keeps none"
            )
        if isinstance(parent, Trigger) or isinstance(definition, Operator):
            what = "a trigger upon a trigger" if isinstance(parent, Trigger) else "an Operator"
            raise TocsinError(
                f"trigger {name!r}: backfill= is for a definition upon a stream, not for {what}"
            )
        if backfill is not True:
            parent._inflow.beginning(backfill)

    def on(self, name: str, **options: Any) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Decorator: a handler for the trigger `name`.

        Args:
            name: of a trigger of this engine.
            options: as for `Trigger.handler`: per_match, results, retries, backoff, concurrency, outbox, loop.

        Returns:
            The decorator; it gives the function back unchanged.

        Raises:
            TocsinError: there is no such trigger.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     @engine.on("large", per_match=True)
        ...     def show(match):
        ...         print(match)
        ...     _ = trades.push({"price": [2.5, 4.0]})
        {'price': 4.0}
        """
        register: Callable[[Callable[[Any], Any]], Callable[[Any], Any]] = self._trigger(name).handler(
            **options
        )
        return register

    def sync(self, source: str | Stream | Trigger, target: Any, **options: Any) -> Sync:
        """Keep a target up to date with a stream's events or a trigger's matches: resumable, each exactly once.

        Args:
            source: a Stream, a Trigger, or the name of one.
            target: a PostgresTarget, DeltaTarget, ParquetTarget or StoreTarget of tocsin.sync, or as text:
                "postgresql://host/database#table", "delta:/folder", "parquet:/folder", "store:/folder#stream".
            options: as for `tocsin.sync.start`: gaps, rows, bytes, interval, retry_max, linger, sequence_column.

        Returns:
            The Sync. `close` of the engine brings it up to date a last time (for at most `linger` seconds) and ends it.

        Raises:
            TocsinError: the engine has no store, which is what a sync resumes from. Others: see `tocsin.sync.start`.

        >>> import tempfile, pyarrow as pa, pyarrow.parquet as pq, tocsin as tc
        >>> folder = tempfile.mkdtemp()
        >>> with tc.Engine(folder + "/trades.store") as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     _ = engine.sync(trades, "parquet:" + folder + "/trades")
        ...     _ = trades.push({"price": [2.5, 4.0]})
        >>> pq.read_table(folder + "/trades").to_pydict()
        {'price': [2.5, 4.0], 'tocsin_sequence': [0, 1]}
        """
        from .sync import start

        self._runtime.check()
        found, store = self._source(source), self._store
        if store is None:
            raise TocsinError(f"sync of {found.name!r}: the engine has no store; give Engine a path")
        sync = start(store if isinstance(found, Stream) else store.matches, found.name, target, **options)
        self._runtime.on_closed.insert(0, sync.close)  # before the store is closed
        return sync

    def remove(self, name: str) -> None:
        """Take a trigger away: it sees no batch that is pushed from now on; its unfinished matches are let go.

        Its matches from before are still handled, and its match log stays in the store.

        Args:
            name: of a trigger of this engine.

        Raises:
            TocsinError: there is no such trigger, or another trigger stands on it.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     engine.remove("large")
        ...     list(engine.triggers)
        []
        """
        trigger = self._trigger(name)
        upon = [other.name for other in list(self._triggers.values()) if other.source is trigger]
        if upon:
            raise TocsinError(
                f"trigger {name!r} is the source of {', '.join(map(repr, upon))}; remove that first"
            )
        if self._recovery is None:
            self._runtime.remove_trigger(trigger._id)
        else:
            self._recovery.remove(name)
        del self._triggers[name]

    @property
    def streams(self) -> Mapping[str, Stream]:
        """The streams by name, in the order in which they were declared; read-only."""
        return MappingProxyType(self._streams)

    @property
    def triggers(self) -> Mapping[str, Trigger]:
        """The triggers by name, in the order in which they were set; read-only."""
        return MappingProxyType(self._triggers)

    @property
    def store(self) -> Store | None:
        """The Store that keeps events and matches, or None: all is in memory."""
        return self._store

    def stats(self) -> EngineStats:
        """What the engine has done and what it holds at this moment; it costs those who work nothing.

        Returns:
            EngineStats: plain numbers for the engine and for each stream and trigger. Still there once it is closed.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     _ = trades.push({"price": [2.5, 4.0]})
        >>> stats = engine.stats()
        >>> stats.streams["trades"], stats.triggers["large"].matches, stats.triggers["large"].latency.count
        (StreamStats('trades': 2 events in 1 batches), 1, 1)
        """
        return engine_stats(self)

    # ------------------------------------------------------------------ time, end, what went wrong

    def advance(self, time: Any) -> None:
        """Move the watermark of every stream that has a time column: no event before `time` is still to come.

        Nothing in the engine reads a clock: this is how silence is made known. A time in the past changes nothing.

        Args:
            time: a datetime (without a zone: UTC), a date, a numpy.datetime64, or an integer in the column's unit.

        Raises:
            TocsinError: no stream has a time column, or `time` does not fit one.
            EvaluationError and other faults of triggers: with workers=0.
            ClosedError: the engine is closed.

        >>> import datetime as dt, pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     pings = engine.stream("pings", pa.schema([("ts", pa.timestamp("s")), ("up", pa.bool_())]), time="ts")
        ...     runs = engine.trigger("runs", pings, "ORDER BY ts MEASURES COUNT(*) AS n PATTERN (a+) "
        ...                                          "WITHIN INTERVAL '30' SECOND DEFINE a AS up")
        ...     _ = pings.push({"ts": dt.datetime(2026, 1, 1), "up": True})
        ...     before = runs.matched  # the next event might still belong to the run
        ...     engine.advance(dt.datetime(2026, 1, 1, 0, 0, 30))
        ...     before, runs.matched
        (0, 1)
        """
        self._runtime.check()
        timed = [
            (stream, stream.schema.field(stream.time))
            for stream in list(self._streams.values())
            if stream.time
        ]
        if not timed:
            raise TocsinError("advance: no stream of this engine has a time column; declare one with time=")
        moves = [(stream, _instant(time, field)) for stream, field in timed]
        for stream, mark in moves:
            stream._advance(mark)
        if self._runtime.inline:
            self._runtime.raise_faults("raised by advance()")

    # ------------------------------------------------------------------ what the store knows

    def recover(self, *, progress: bool = False) -> Recovered:
        """Take up what the store knows, now: else the first push to a stream does it, for that stream.

        Call it when streams, triggers and handlers are declared. Triggers get back what they knew at the last
        checkpoint and see the events since once more; matches that are in the match log are not found twice; those that
        no handler had finished with are handed over (again). It returns when all that is on its way; `flush` waits.

        Args:
            progress: show a bar on a terminal.

        Returns:
            Recovered: checkpoint, events seen again, triggers resumed and those that begin afresh, with the reason,
            matches that were handed over again, seconds. Without a store, or before all that, it is empty.

        Raises:
            StoreError: the log is damaged where it would have to be read. ClosedError: the engine is closed.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> folder, pattern = tempfile.mkdtemp() + "/a.store", "PATTERN (low high) DEFINE low AS x < 1, high AS x > 8"
        >>> for values in ([0, 5, 0], [9, 5]):
        ...     with tc.Engine(folder) as engine:
        ...         steps = engine.stream("steps", pa.schema([("x", pa.int64())]))
        ...         jump = engine.trigger("jump", steps, pattern)
        ...         recovered = engine.recover()
        ...         _ = steps.push({"x": values})
        >>> jump.matched, recovered.resumed
        (1, {'jump': 0})
        """
        if self._recovery is None:
            return Recovered()
        if progress:
            with Progress("recovering", total=self._recovery.missed()) as bar:
                self._recovery.go_live(bar.update)
        else:
            self._recovery.go_live()
        return self._recovery.report

    @property
    def recovered(self) -> Recovered:
        """What was taken up from the store so far: see `recover`."""
        return Recovered() if self._recovery is None else self._recovery.report

    def replay(
        self, *, start: Any = None, stop: Any = None, speed: float | None = None,
        triggers: Iterable[str | Trigger] | None = None, to: Callable[[str, pa.RecordBatch], Any] | None = None,
        progress: bool = False,
    ) -> Replayed:  # fmt: skip
        """Let stored events go through triggers once more, as they came; the engine goes on meanwhile.

        The triggers begin as if they knew nothing, and end where `stop` is, without a last word. It is a run of its
        own: no match of it goes to the match log, and what the engine's own triggers know does not change. **Handlers
        are called again**, unless `to` takes their place.

        Args:
            start, stop: times, as in `Store.scan`: from the first event of time `start` or later up to the first one of
                time `stop` or later; None: from the first one stored; up to the last one.
            speed: 1.0: at the pace of the events' times, 60.0: an hour in a minute; None: as fast as it goes.
            triggers: which ones, or their names; None: all of this engine.
            to: called with the trigger's name and a record batch of matches, instead of the triggers' handlers (those
                registered with ids=True get nothing in a replay: its matches have no place in the match log).
            progress: show a bar on a terminal.

        Returns:
            Replayed: events, matches, faults, seconds.

        Raises:
            TocsinError: there is no store, or no such trigger, or one that runs on an Operator. SchemaError: a time
            that does not fit a stream, or speed and a stream without a time. StoreError: the log is damaged there.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Engine(tempfile.mkdtemp() + "/a.store") as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     _ = trades.push({"price": [2.5, 4.0]})
        ...     replayed = engine.replay(to=lambda name, matches: print(name, matches.to_pylist()))
        large [{'price': 4.0}]
        >>> replayed.events, replayed.matches
        ({'trades': 2}, {'large': 1})
        """
        self._runtime.check()
        if self._store is None:
            raise TocsinError(
                "replay(): there is no store, so no event of before is kept; make it with Engine(path)"
            )
        if self._runtime.in_handler():
            raise TocsinError(
                "replay() in a handler would wait for handlers; call it from a thread of its own"
            )
        chosen = list(self._triggers.values()) if triggers is None else []
        for one in triggers or ():
            chosen.append(self._trigger(one if isinstance(one, str) else one.name))
        needed: set[str] = set()
        for trigger in chosen:
            below: Stream | Trigger = trigger
            while isinstance(below, Trigger):
                needed.add(below.name)
                below = below.source
        parts = [one._part for one in self._triggers.values() if one.name in needed and one._part is not None]
        return replay(
            parts, {trigger.name for trigger in chosen}, self._runtime.workers,
            start=start, stop=stop, speed=speed, to=to, progress=progress,
        )  # fmt: skip

    def checkpoint(self) -> int:
        """Write down what every trigger knows, so that a later engine on this store goes on from here.

        It is done every `checkpoint_every` by itself, and by `close`. Pushes wait for the moment in which it is
        ordered; this returns when it is on the device, and all that was pushed before has been matched and handled.

        Returns:
            The number (int) of the checkpoint.

        Raises:
            TocsinError: there is no store, or it is called by a handler. StoreError: it cannot be written; the one
            before holds. ClosedError: the engine is closed.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Engine(tempfile.mkdtemp() + "/a.store") as engine:
        ...     steps = engine.stream("steps", pa.schema([("x", pa.int64())]))
        ...     _ = steps.push({"x": [1, 2]})
        ...     engine.checkpoint()
        1
        """
        if self._recovery is None:
            why = "there is no store" if self._store is None else 'overflow="drop_oldest"'
            raise TocsinError(f"checkpoint(): {why}: triggers of this engine are not kept")
        return self._recovery.checkpoint()

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was pushed before has been matched and handled, with what handlers pushed meanwhile.

        Handlers on threads or event loops of their own are waited for like the others.

        Args:
            timeout: seconds to wait; None: as long as it takes.

        Raises:
            EvaluationError, OrderError, ...: what went wrong in a trigger since the last push or flush. The message
                names trigger, stream and event; the events are in the dead letters, the trigger goes on behind them.
            TimeoutError: after `timeout` seconds; the engine goes on.
            TocsinError: called by a handler, or on the event loop of one, which it would wait for (in a coroutine:
                `await asyncio.to_thread(engine.flush)`).
            ClosedError: the engine is closed.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine() as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     _ = trades.push({"price": [2.5, 4.0]})
        ...     engine.flush(timeout=60)
        ...     large.matched
        1
        """
        if self._recovery is not None:
            self._recovery.go_live()
        self._runtime.flush(timeout)

    def close(self, *, finish: bool | None = None, timeout: float | None = None) -> None:
        """Match and handle all, end the threads, close the store; in memory, end the input: finish the patterns.

        A second call does nothing, or waits for the first. In a handler it returns at once and the rest follows.

        Args:
            finish: whether the input has ended, so that patterns say what only that settles, and what waits for the
                watermark goes on. False: what is open stays open, and the next engine on the store goes on with it.
                None: True in memory, False with a store.
            timeout: seconds to wait for handlers; None: as long as it takes.

        Raises:
            What went wrong in triggers since the last flush, once all is closed.
            TimeoutError: after `timeout` seconds; the engine then goes on closing.
            TocsinError: called on the event loop of a handler, which it would wait for; the engine goes on closing. In
                a coroutine use `async with engine`, or `await asyncio.to_thread(engine.close)`.

        >>> import tocsin as tc
        >>> engine = tc.Engine()
        >>> engine.close()
        >>> engine.closed
        True
        """
        self._finalizer.detach()
        recovery = self._recovery
        if finish is None:
            finish = recovery is None
        if finish and recovery is not None and self._runtime.state == "open":
            recovery.go_live()
            recovery.caught_up()
        self._runtime.close(finish=finish, timeout=timeout)

    @property
    def closed(self) -> bool:
        """Whether pushes are refused (bool): from the first call of `close` on, and in a forked child."""
        return self._runtime.state != "open"

    def dead_letters(self, trigger: str) -> list[DeadLetter]:
        """What the handlers of `trigger`, or the trigger itself, could not handle; oldest first.

        With a store, those of earlier runs too; also for a trigger that only the store remembers.

        Args:
            trigger: its name.

        Returns:
            A list of DeadLetter: trigger, kind ("handler", "fault" or "store"), handler, error, first_sequence,
            last_sequence, and rows, a pyarrow.RecordBatch (matches, or for a fault the refused events) or None.

        Raises:
            TocsinError: neither the engine nor its store knows such a trigger.

        >>> import logging, pyarrow as pa, tocsin as tc
        >>> logging.getLogger("tocsin").setLevel(logging.CRITICAL)  # a dead letter is logged as a warning
        >>> with tc.Engine(workers=0, retries=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     @large.handler
        ...     def fail(matches):
        ...         raise RuntimeError("no line to the broker")
        ...     _ = trades.push({"price": [2.5, 4.0]})
        ...     letter, = engine.dead_letters("large")
        ...     letter.kind, letter.error, letter.rows.num_rows
        ('handler', 'RuntimeError: no line to the broker', 1)
        >>> logging.getLogger("tocsin").setLevel(logging.NOTSET)
        """
        letters = f"dead_letters/{trigger}"
        store = self._store
        if store is not None and store.find(letters) is not None:
            known = self._triggers.get(trigger)
            dead = known._outlet.dead if known else DeadLetters(trigger, None)
            return dead.list(store.scan(letters))
        return self._trigger(trigger)._outlet.dead.list(None)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as at_close:
            if failure is None:
                raise
            # The block's own exception matters more; this one is in the log and the dead letters.
            failure.add_note(f"and close() raised {type(at_close).__name__}: {at_close}")

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, failure, trace)

    def __repr__(self) -> str:
        return f"Engine({len(self._streams)} streams, {len(self._triggers)} triggers, {self._runtime.state})"

    # ------------------------------------------------------------------ names

    def _check_name(self, name: Any, what: str) -> None:
        if not isinstance(name, str) or not name:
            raise TocsinError(f"a {what}'s name must be a text of at least one character, not {name!r}")
        if "/" in name:
            raise TocsinError(
                f"{what} {name!r}: a name must not have '/', which is kept for logs of the engine's own"
            )
        if name in self._streams or name in self._triggers:
            kind = "stream" if name in self._streams else "trigger"
            raise TocsinError(f"there is a {kind} {name!r} already; choose another name, or remove it first")

    def _source(self, source: str | Stream | Trigger) -> Stream | Trigger:
        if isinstance(source, (Stream, Trigger)):
            mine = self._streams.get(source.name) is source or self._triggers.get(source.name) is source
            if not mine:
                raise TocsinError(f"{source!r} is not a stream or trigger of this engine (any more)")
            return source
        known: dict[str, Stream | Trigger] = {**self._streams, **self._triggers}
        if source not in known:
            raise TocsinError(f"there is no stream or trigger {source!r}{_nearest(str(source), list(known))}")
        return known[source]

    def _trigger(self, name: str) -> Trigger:
        if name not in self._triggers:
            raise TocsinError(f"there is no trigger {name!r}{_nearest(str(name), list(self._triggers))}")
        return self._triggers[name]


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(map(repr, known))}" if known else "; there is none yet"


def _lateness(lateness: Any, field: pa.Field) -> int:
    unit = unit_ns(field.type)
    if unit is None:
        if lateness == "0s":
            return 0
        if isinstance(lateness, bool) or not isinstance(lateness, int) or not 0 <= lateness < 2**62:
            raise SchemaError(
                f"lateness={lateness!r}: column {field.name!r} is {field.type}; "
                "give a whole number in its unit, not below 0"
            )
        return lateness
    try:
        length = duration_ns(lateness)
    except (TypeError, ValueError) as cause:
        raise SchemaError(f"lateness={lateness!r}: {cause}") from cause
    if length < 0 or length % unit:
        raise SchemaError(
            f"lateness={lateness!r} must not be below 0 and must be whole in the unit of column "
            f"{field.name!r} ({field.type})"
        )
    return length // unit


def _instant(time: Any, field: pa.Field) -> int:
    unit = unit_ns(field.type)
    if isinstance(time, (int, np.integer)) and not isinstance(time, (bool, np.timedelta64)):
        mark = int(time)
    elif unit is None or not isinstance(time, (datetime.date, np.datetime64)):
        what = "an integer" if unit is None else "a datetime, numpy.datetime64, or an integer in its unit"
        raise TocsinError(f"advance({time!r}): column {field.name!r} is {field.type}; give {what}")
    else:
        length = datetime_ns(time)
        if length is None:
            raise TocsinError(f"advance({time!r}): this is no time")
        mark = length // unit
    if not -(2**63) < mark < 2**63:
        raise TocsinError(f"advance({time!r}) is beyond what column {field.name!r} can hold")
    return mark


def _every(checkpoint_every: Any) -> float | None:
    """Seconds between checkpoints."""
    if checkpoint_every is None:
        return None
    try:
        if isinstance(checkpoint_every, (int, float)) and not isinstance(checkpoint_every, bool):
            seconds = float(checkpoint_every)
        else:
            seconds = duration_ns(checkpoint_every) / 1e9
    except (TypeError, ValueError) as cause:
        raise ValueError(f"checkpoint_every={checkpoint_every!r}: {cause}") from cause
    if not 0 < seconds < 1e9:
        raise ValueError(f"checkpoint_every={checkpoint_every!r} must be more than nothing, or None")
    return seconds


def _open_marks(store: Store, name: str, make: bool) -> Any:
    """The log of what `advance` was told; None: there is none yet."""
    return store.create_stream(name, MARKS_SCHEMA) if make else store.find(name)


def _match_log(store: Store, trigger: str, schema: pa.Schema) -> MatchLog:
    wide = stored_schema(trigger, schema)
    known = store.matches.find(trigger)
    if known is not None and known.schema.equals(schema):
        raise StoreError(
            f"trigger {trigger!r}: its match log is of an earlier tocsin, whose matches had no ids; read it with "
            f"store.matches.scan({trigger!r}), and give the trigger another name"
        )
    return MatchLog(trigger, store.matches.create_stream(trigger, wide), schema)


def _root(source: Stream | Trigger) -> tuple[Stream, Trigger | None]:
    """The stream at the bottom, and the trigger that is the source itself, if it is one."""
    upon = source if isinstance(source, Trigger) else None
    while isinstance(source, Trigger):
        source = source.source
    return source, upon


def _dropped(runtime: Runtime) -> None:
    """The engine is gone and nobody closed it."""
    if runtime.state in ("open", "closing"):
        warnings.warn(
            "a tocsin.Engine was dropped without close(); its patterns were not finished", ResourceWarning, 2
        )
        runtime.close_later()
