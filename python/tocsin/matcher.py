"""Matcher: one compiled pattern together with its state; push batches, get the matches that became certain."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tocsin.compile.assemble import assemble
from tocsin.compile.clauses import compile_clause
from tocsin.compile.execution import ExecutionClass
from tocsin.limits import state_limits
from tocsin.sql.clause import Clause
from tocsin.tables import core_batches
from tocsin.times import to_unit
from tocsin_core.batch import Batch


class Matcher:
    """A row pattern over a sequence of events, matched as they come.

    However the input is cut into batches, the same matches come out in the same order; each by the event (or
    watermark) after which no future event can change it. It has no threads and reads no clock, and is used by one
    thread at a time. It can be pickled with its state, and goes on where it was.

    Args:
        clause: the text of a MATCH_RECOGNIZE clause.
        schema: pyarrow.Schema of the events. Text columns may come in any Arrow layout, dictionaries included.
        execution, max_steps: as in match_recognize.
        max_partial_matches, max_partitions: how many attempts may be open, and how many partitions known, when a batch
            comes; with more, `push` raises LimitError and takes nothing of it. None: no limit.

    Raises:
        PatternError: the clause is wrong or not supported; the message shows the place.

    Example:
        >>> import pyarrow as pa, tocsin as tc
        >>> matcher = tc.Matcher("MEASURES LAST(b.x) AS x PATTERN (a b+) DEFINE b AS x > PREV(x)",
        ...                      pa.schema({"x": pa.int64()}))
        >>> matcher.push({"x": [1, 2, 3]}).num_rows, matcher.push({"x": [0]}).to_pylist()
        (0, [{'x': 3}])
    """

    def __init__(
        self,
        clause: str | Clause,
        schema: pa.Schema,
        *,
        execution: ExecutionClass | None = None,
        max_steps: int | None = None,
        max_partial_matches: int | None = None,
        max_partitions: int | None = None,
    ) -> None:
        self._clause = clause
        self._options: dict[str, Any] = {
            "execution": execution,
            "max_steps": max_steps,
            "max_partial_matches": max_partial_matches,
            "max_partitions": max_partitions,
        }
        limits = state_limits("a matcher", max_partial_matches, max_partitions)
        self._assembled = assemble(compile_clause(clause, schema), execution=execution, max_steps=max_steps)
        self._operator = self._assembled.operator
        self._operator.limit(*limits)
        assert self._assembled.matcher is not None  # a clause has one
        self._matcher = self._assembled.matcher
        # Matches of the batches before one that was at fault: they have left the core, and must not be lost.
        self._waiting: list[pa.RecordBatch] = []

    @property
    def schema(self) -> pa.Schema:
        """pyarrow.Schema of the events."""
        return self._assembled.schema

    @property
    def output_schema(self) -> pa.Schema:
        """pyarrow.Schema of the matches: the partition columns, then the measures."""
        return self._assembled.output_schema

    @property
    def sequence(self) -> int:
        """How many events have been pushed (int): the sequence of the next one."""
        return self._matcher.sequence

    def push(self, data: Any) -> pa.RecordBatch:
        """Takes events and returns the matches that they made certain, in the order in which they became so.

        Args:
            data: anything that speaks the Arrow PyCapsule interface, or a dict of numpy arrays; its rows must
                continue the order of ORDER BY.

        Returns:
            A record batch of `output_schema`, often of no rows.

        Raises:
            SchemaError: another schema. OrderError: a row that comes before its predecessor, or whose time is
            null (under WITHIN). EvaluationError: an integer overflow or division by zero in a condition. LimitError:
            the batches before have led beyond `max_partial_matches` or `max_partitions`. In all these cases nothing
            of the batch at fault was taken. (In a measure, in a definition that reads the match so far, or in SKIP
            TO a variable that the match has not, and LimitError for `max_steps`: that match is
            left out, the rest comes with the next call.) A push of several batches takes the ones before the fault;
            their matches come with the next call, too. ClosedError: after `finish`.

        Example:
            >>> import pickle, pyarrow as pa, tocsin as tc
            >>> matcher = tc.Matcher("MEASURES a.x AS x, b.x AS y PATTERN (a b) DEFINE b AS x = 2 * PREV(x)",
            ...                      pa.schema({"x": pa.int64()}))
            >>> matcher.push({"x": [7, 3]}).num_rows
            0
            >>> pickle.loads(pickle.dumps(matcher)).push({"x": [6]}).to_pylist()
            [{'x': 3, 'y': 6}]
        """
        empty = True
        for batch in core_batches(data, self._operator.input):
            empty = False
            self._keep(self._operator.run(batch, self._matcher.sequence))
        if empty:  # a table of no batches: what waits behind a fault comes all the same
            none = Batch.from_arrow(_empty(self.schema), self._operator.input)
            self._keep(self._operator.run(none, self._matcher.sequence))
        return self._take()

    def advance(self, time: Any) -> pa.RecordBatch:
        """Moves the watermark: no event with a time below `time` will be pushed any more.

        Args:
            time: in the unit of the first ORDER BY column (int), or a datetime, date, timedelta or ISO text.

        Returns:
            The matches that this made certain (WITHIN closes).

        Raises:
            OrderError: later, when an event is pushed that is older than the watermark.
            ValueError: the clause has no time (ORDER BY a time, timestamp, date or integer first).
            SchemaError: `time` is no moment of that column.

        Example:
            >>> import pyarrow as pa, tocsin as tc
            >>> matcher = tc.Matcher("ORDER BY t MEASURES COUNT(*) AS n PATTERN (a+) WITHIN INTERVAL '5' SECOND "
            ...                      "DEFINE a AS x > 0", pa.schema({"t": pa.timestamp("s"), "x": pa.int64()}))
            >>> matcher.push({"t": pa.array([0, 3], pa.timestamp("s")), "x": [1, 1]}).num_rows
            0
            >>> matcher.advance(4).num_rows, matcher.advance(5).to_pylist()
            (0, [{'n': 2}])
        """
        plan = self._assembled.plan
        if plan is None or plan.time is None:
            raise ValueError("advance() needs a time: let ORDER BY begin with a time column, ascending")
        field = self.schema.field(plan.time)
        self._keep(self._operator.run_advance(to_unit(time, field.type, field.name)))
        return self._take()

    def finish(self) -> pa.RecordBatch:
        """End of input. Nothing can be pushed afterwards (ClosedError).

        A second call returns what waits behind a fault.

        Returns:
            The matches that only the end can settle, as a record batch of `output_schema`.

        Example:
            >>> import pyarrow as pa, tocsin as tc
            >>> schema = pa.schema({"x": pa.int64()})
            >>> matcher = tc.Matcher("MEASURES COUNT(*) AS n PATTERN (a+) DEFINE a AS x > 0", schema)
            >>> matcher.push({"x": [1, 2]}).num_rows, matcher.finish().to_pylist()
            (0, [{'n': 2}])
        """
        self._keep(self._operator.run_finish())
        return self._take()

    def explain(self) -> str:
        """In words: how the pattern runs, what it costs per event, and what is kept (see tocsin.explain).

        Returns:
            Some lines of text. Unlike `tocsin.explain` it knows how many states have been built so far.

        Example:
            >>> import pyarrow as pa, tocsin as tc
            >>> matcher = tc.Matcher("PATTERN (a b) DEFINE b AS x > 3", pa.schema({"x": pa.int64()}))
            >>> print(matcher.explain().splitlines()[0])
            row pattern over 2 variables, class: row-local (lazy deterministic automaton)
        """
        from tocsin.explain import explain_assembled

        return explain_assembled(self._assembled)

    def _keep(self, matches: Batch | None) -> None:
        if matches is not None:
            self._waiting.append(pa.record_batch(matches))

    def _take(self) -> pa.RecordBatch:
        found, self._waiting = self._waiting, []
        if not found:
            return _empty(self.output_schema)
        return found[0] if len(found) == 1 else pa.concat_batches(found)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "clause": self._clause,
            "schema": self.schema,
            "options": self._options,
            "state": self._operator.save(),
            "waiting": self._waiting,
        }

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__init__(saved["clause"], saved["schema"], **saved["options"])  # type: ignore[misc]
        self._operator.restore(saved["state"])
        self._waiting = saved["waiting"]

    def __repr__(self) -> str:
        return f"<tocsin.Matcher of {self.sequence} events, {self._matcher.open_attempts} open attempts>"


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], type=f.type) for f in schema], schema=schema)
