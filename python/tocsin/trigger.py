"""Trigger: the face of one trigger: its handlers, its matches, its dead letters. It is a stream for other triggers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa

from tocsin_core.operator import Operator

from .handlers import Handler, MatchIterator, Outlet
from .stats import TriggerStats, trigger_stats

if TYPE_CHECKING:
    from .engine import Engine
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
        self, engine: Engine, name: str, source: Stream | Trigger, operators: list[Operator], outlet: Outlet, retries: int,
        backoff: float,
    ) -> None:  # fmt: skip
        self._engine = engine
        self.name = name
        self.source = source
        self.schema: pa.Schema = outlet.schema
        self._operators = operators  # one for each worker, or one
        self._operator = operators[0]
        self._outlet = outlet
        self._retries = retries
        self._backoff = backoff
        self._id = -1

    @overload
    def handler(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]: ...
    @overload
    def handler(
        self, *, per_match: bool = ..., results: bool = ..., retries: int | None = ...
    ) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]: ...

    def handler(
        self, function: Callable[[Any], Any] | None = None, *, per_match: bool = False, results: bool = False,
        retries: int | None = None,
    ) -> Any:  # fmt: skip
        """Register a function that receives matches, from the next batch on; a decorator, or called with a function.

        It gets one pyarrow.RecordBatch of matches per call. It runs on the engine's dispatcher thread (workers=0: on
        the thread that pushes), one call at a time, in the order of the events. It may push to streams of the engine
        and may close the engine; it must not flush it. When it raises, it is called again after a short pause; after
        `retries` more failures its matches go to the dead letters, a warning is logged, and the engine goes on.

        Args:
            function: what to call; left out when this is a decorator with options.
            per_match: call it with a dict for each match instead.
            results: keep what it returns for `results()`, one value per call, until that is asked.
            retries: how often a call that failed is repeated; None: as the engine has it.

        Returns:
            `function`, unchanged; without one, the decorator.

        Raises:
            TypeError: `function` cannot be called.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     @large.handler(per_match=True)
        ...     def show(match):
        ...         print(match)
        ...     trades.push({"price": [2.5, 4.0]})
        {'price': 4.0}
        """

        def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            self._outlet.add(
                Handler(
                    function, per_match=per_match, results=results,
                    retries=self._retries if retries is None else retries, backoff=self._backoff,
                )
            )  # fmt: skip
            return function

        return register if function is None else register(function)

    def matches(self) -> MatchIterator:
        """The pull side: an iterator over the record batches of matches from now on; it ends when the engine closes.

        What is not taken waits in memory, without a bound; `close()` of the iterator ends it early.

        Returns:
            An iterator of pyarrow.RecordBatch with the trigger's schema, none of them empty.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine() as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     found = engine.trigger("large", trades, tc.col("price") > 3).matches()
        ...     trades.push({"price": [2.5, 4.0]})
        >>> [matches.to_pylist() for matches in found]
        [[{'price': 4.0}]]
        """
        return self._outlet.iterate()

    def results(self) -> list[Any]:
        """What handlers registered with results=True have returned since the last call.

        Returns:
            A list with one value per call of a handler: by handler in order of registration, then by time.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     count = large.handler(lambda matches: matches.num_rows, results=True)
        ...     trades.push({"price": [2.5, 4.0, 5.0]})
        ...     large.results(), large.results()
        ([2], [])
        """
        return self._outlet.results()

    def stats(self) -> TriggerStats:
        """The figures of this trigger, as in `Engine.stats`.

        Returns:
            TriggerStats: matches, handler calls, dead letters, faults, open attempts, state, latency.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     steps = engine.stream("steps", pa.schema([("x", pa.int64())]))
        ...     rise = engine.trigger("rise", steps, "PATTERN (a b{3}) DEFINE b AS x > PREV(x)")
        ...     steps.push({"x": [1, 2, 3]})
        ...     rise.stats().open_attempts
        3
        """
        return trigger_stats(self)

    @property
    def matched(self) -> int:
        """How many matches have been delivered so far (int)."""
        return self._outlet.matched

    def __repr__(self) -> str:
        return f"Trigger({self.name!r} on {self.source.name!r})"
