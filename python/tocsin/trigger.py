"""Trigger: the face of one trigger: its handlers, its matches, its dead letters. It is a stream for other triggers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa

from tocsin_core.operator import Operator

from .handlers import Handler
from .matches import MATCHES_MAX, MatchIterator
from .outlet import Outlet
from .stats import TriggerStats, trigger_stats

if TYPE_CHECKING:
    from .engine import Engine
    from .recovery import Part
    from .stream import Stream


class Trigger:
    """A name, a source (stream or trigger) and what it waits for; made by `Engine.trigger`.

    Attributes:
        name: its name in the engine; its match log in the store has the same.
        source: the Stream or Trigger whose events it sees.
        schema: pyarrow.Schema of its matches.

    >>> import pyarrow as pa, tocsin as tc
    >>> with tc.Engine(workers=0) as engine:
    ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
    ...     large = engine.trigger("large", trades, tc.col("price") > 3)
    ...     large, large.schema.names
    (Trigger('large' on 'trades'), ['price'])
    """

    def __init__(
        self, engine: Engine, name: str, source: Stream | Trigger, operators: list[Operator], outlet: Outlet,
        retries: int, backoff: float,
    ) -> None:  # fmt: skip
        self._engine = engine
        self.name = name
        self.source = source
        self.schema: pa.Schema = outlet.schema
        self._operators = operators  # one for each worker, or one
        self._outlet = outlet
        self._retries = retries
        self._backoff = backoff
        self._id = -1
        self._part: Part | None = None  # as recovery knows it

    @property
    def _operator(self) -> Operator:
        return self._operators[0]

    @overload
    def handler(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]: ...
    @overload
    def handler(
        self, *, per_match: bool = ..., results: bool | int = ..., retries: int | None = ...,
        backoff: float | None = ..., concurrency: int | None = ..., outbox: int | None = ...,
        loop: asyncio.AbstractEventLoop | None = ..., ids: bool = ...,
    ) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]: ...  # fmt: skip

    def handler(
        self, function: Callable[[Any], Any] | None = None, *, per_match: bool = False, results: bool | int = False,
        retries: int | None = None, backoff: float | None = None, concurrency: int | None = None,
        outbox: int | None = None, loop: asyncio.AbstractEventLoop | None = None, ids: bool = False,
    ) -> Any:  # fmt: skip
        """Register a function that receives matches, from the next batch on; a decorator, or called with a function.

        It gets one pyarrow.RecordBatch of matches per call. It runs on the engine's dispatcher thread (workers=0: on
        the thread that pushes), one call at a time, in the order of the events; while it runs, no other such handler
        does. With `concurrency` it has threads of its own; a coroutine function (async def) runs on an event loop.
        It may push to streams of the engine and may close the engine; it must not flush it. When it raises, it is
        called again after a pause; after `retries` more failures its matches go to the dead letters, a warning is
        logged, and the engine goes on.

        Args:
            function: what to call; left out when this is a decorator with options.
            per_match: call it with a dict for each match instead.
            results: keep what it returns for `results()` and for tickets (`Stream.push`), one value per call. For
                `results()` the newest 65 536 values are kept, or as many as this number says; what goes is counted in
                `results_dropped`, and the log says so.
            retries: how often a call that failed is repeated; None: as the engine has it.
            backoff: seconds before the first repetition, doubled for each further one; None: as the engine has it.
            concurrency: None: on the dispatcher's thread. n: on n threads of its own, at most n calls at a time; 1
                keeps the order. A slow handler then stops neither others nor matching until its outbox is full; then
                the engine waits for it, and loses nothing. For a coroutine function the number of tasks; None: 1.
            outbox: how many batches of matches may wait for these threads or tasks (None: 64).
            loop: for a coroutine function: the asyncio event loop to run it on, such as asyncio.get_running_loop();
                None: one of the engine's own, on a thread. On the thread of this loop `flush`, `close` and
                `Ticket.results` are refused (use `async with engine`, `asyncio.to_thread`), and a push that would have
                to wait raises BackpressureError. When the loop has ended, matches go to the dead letters.
            ids: with a store: matches come with four more columns, which name a match for ever: match_version (int32,
                of the trigger's definition), match_first_sequence and match_last_sequence (int64, the events it reaches
                from and to) and match_number (int64, its place in the trigger's match log). A match that is handled
                again after a crash has the same ones, so whoever keeps them can tell.

        Returns:
            `function`, unchanged; without one, the decorator.

        Raises:
            TypeError: `function` cannot be called; `loop` is no event loop, or `function` no coroutine function.
            ValueError: an option out of its range.
            ClosedError: the trigger was removed, or the engine is closed.  TocsinError: `ids`, and there is no store.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     @large.handler(per_match=True)
        ...     def show(match):
        ...         print(match)
        ...     _ = trades.push({"price": [2.5, 4.0]})
        {'price': 4.0}

        A slow one on four threads of its own:

        >>> with tc.Engine() as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     @large.handler(per_match=True, concurrency=4, results=True)
        ...     def look_up(match):
        ...         return match["price"] * 2
        ...     trades.push({"price": [2.5, 4.0, 5.0]}).results()
        [8.0, 10.0]
        """

        def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            self._outlet.add(
                Handler(
                    function, per_match=per_match, results=results,
                    retries=self._retries if retries is None else retries,
                    backoff=self._backoff if backoff is None else backoff,
                    concurrency=concurrency, outbox=outbox, loop=loop, ids=ids,
                )
            )  # fmt: skip
            return function

        return register if function is None else register(function)

    def matches(
        self, limit: int | None = MATCHES_MAX, *, start: int | None = None, ids: bool = False
    ) -> MatchIterator:
        """The pull side: an iterator over the record batches of matches from now on; it ends when the engine closes.

        It is for threads (`for`) and for asyncio (`async for`, which does not block the loop; when the waiting task is
        cancelled, nothing is lost). Several may share it: each batch goes to one of them.

        When `limit` batches wait to be taken, the engine waits: no handler is called, the ring fills up, and pushes
        wait or are refused (`overflow`); so is `flush`, if whoever flushes is to take them. With workers=0 the next
        push raises BackpressureError instead. Once the engine closes there is no limit. `close()` of the iterator
        ends it early, and one that nobody holds any more is not waited for.

        Args:
            limit: how many batches may wait to be taken; None: any number, in memory.
            start: with a store: first the matches that its match log has from this sequence on (0: all of them, of
                earlier runs too), then those that come, without a gap and none twice. None: only those that come.
            ids: with a store: with the columns that name a match, as for `handler`; match_number + 1 of the last one
                taken is the `start` from which to go on another time.

        Returns:
            An iterator of pyarrow.RecordBatch with the trigger's schema, none of them empty.

        Raises:
            ValueError: `limit` is not a whole number of at least 1, or None; `start` not one of at least 0, or None.
            TocsinError: `start` or `ids`, and the engine has no store. StoreError, from the iterator: damage.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine() as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     found = engine.trigger("large", trades, tc.col("price") > 3).matches()
        ...     _ = trades.push({"price": [2.5, 4.0]})
        >>> [matches.to_pylist() for matches in found]
        [[{'price': 4.0}]]
        """
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValueError(
                f"matches(limit={limit!r}): give a whole number of at least 1, or None for any number"
            )
        if start is not None and (type(start) is not int or start < 0):
            raise ValueError(f"matches(start={start!r}): give a whole number of at least 0, or None")
        return self._outlet.iterate(limit, start, ids)

    def results(self) -> list[Any]:
        """What handlers registered with results= have returned since the last call.

        Of each handler the newest 65 536 values, or as many as results= says.

        `Ticket.results` has those of one push, and waits for them.

        Returns:
            A list with one value per call of a handler: by handler in order of registration, then by time.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     count = large.handler(lambda matches: matches.num_rows, results=True)
        ...     _ = trades.push({"price": [2.5, 4.0, 5.0]})
        ...     large.results(), large.results()
        ([2], [])
        """
        return self._outlet.results()

    def caught_up(self, timeout: float | None = None) -> bool:
        """Wait until a trigger that goes through history (`backfill=`) has joined its stream and handled all of it.

        Args:
            timeout: seconds to wait; None: as long as it takes; 0: only look.

        Returns:
            Whether it has (bool); True for a trigger that did not have to.

        Raises:
            What kept it from catching up: then it sees no events until the engine is opened again.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> with tc.Engine(tempfile.mkdtemp() + "/a.store") as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     _ = trades.push({"price": [2.5, 4.0]})
        ...     large = engine.trigger("large", trades, tc.col("price") > 3, backfill=True)
        ...     large.caught_up(timeout=60), large.matched
        (True, 1)
        """
        part, recovery = self._part, self._engine._recovery
        if part is None or recovery is None:
            return True
        recovery.stream_live(part.root)
        if part.behind is None:
            return part.joined
        part.outlet.heard.set()  # nobody will come any more
        if not part.behind.done.wait(timeout):
            return False
        if part.behind.failure is not None:
            raise part.behind.failure
        return part.joined

    @property
    def events_behind(self) -> int:
        """How many events of its stream it has not seen yet (int): 0 but for one that catches up with history."""
        behind = None if self._part is None else self._part.behind
        return 0 if behind is None else behind.left

    def stats(self) -> TriggerStats:
        """The figures of this trigger, as in `Engine.stats`.

        Returns:
            TriggerStats: matches, handler calls, dead letters, faults, open attempts, state, latency.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     steps = engine.stream("steps", pa.schema([("x", pa.int64())]))
        ...     rise = engine.trigger("rise", steps, "PATTERN (a b{3}) DEFINE b AS x > PREV(x)")
        ...     _ = steps.push({"x": [1, 2, 3]})
        ...     rise.stats().open_attempts
        3
        """
        return trigger_stats(self)

    @property
    def results_dropped(self) -> int:
        """How many values handlers returned that `results()` never gave, since newer ones came (int)."""
        return self._outlet.results_dropped

    @property
    def dead_letters_dropped(self) -> int:
        """How many dead letters were let go, since newer ones came (int; only those kept in memory)."""
        return self._outlet.dead.dropped

    @property
    def matched(self) -> int:
        """How many matches have been delivered so far (int)."""
        return self._outlet.matched

    def __repr__(self) -> str:
        return f"Trigger({self.name!r} on {self.source.name!r})"
