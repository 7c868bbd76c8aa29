"""Every way into the product, made alike: a clause and a table in, result rows out, in the order they came.

`rows` are tuples of the named columns, as `spec_cases.row_keys` makes them. Batches are slices of one table,
so that offsets are never zero for long; a cut is the list of their lengths. `execution` forces a class of the
planner's (None: its own choice).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

import tocsin
from spec_cases import row_keys
from tocsin.compile.clauses import compile_clause
from tocsin.compile.execution import ExecutionClass, execution_class

Rows = list[tuple]
Execution = ExecutionClass | None


def batches(table: pa.Table, cut: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """The table as consecutive record batches of the lengths of `cut`, zero among them."""
    if table.num_rows:
        whole = table.combine_chunks().to_batches()[0]
    else:
        whole = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in table.schema], schema=table.schema)
    assert sum(cut) == table.num_rows
    at = 0
    for length in cut:
        yield whole.slice(at, length)
        at += length


def even(n_rows: int, length: int) -> list[int]:
    """A cut into batches of one length, the last one shorter; at least one batch."""
    full, rest = divmod(n_rows, length)
    return [length] * full + [rest] * (rest > 0 or full == 0)


def classes(clause: str, table: pa.Table) -> list[ExecutionClass]:
    """The execution classes at and below the plan's own. (a) is the planner's choice only: force makes it (b)."""
    own = execution_class(compile_clause(clause, table.schema))
    lower: list[ExecutionClass] = ["b", "c", "d"]
    return [c for c in lower if c >= own]


def by_call(clause: str, table: pa.Table, names: Sequence[str], *, execution: Execution = None) -> Rows:
    return row_keys(tocsin.match_recognize(table, clause, execution=execution), names)


def by_sql(clause: str, table: pa.Table, names: Sequence[str]) -> Rows:
    """The clause in a query that does nothing else."""
    return row_keys(tocsin.sql(f"SELECT * FROM events MATCH_RECOGNIZE ({clause})", events=table), names)


def by_matcher(
    clause: str,
    table: pa.Table,
    names: Sequence[str],
    cut: Sequence[int],
    *,
    saved: bool = False,
    execution: Execution = None,
) -> list[Rows]:
    """The rows that each push returned, then those of finish(); `saved`: pickled and restored before each."""
    matcher = tocsin.Matcher(clause, table.schema, execution=execution)
    out = []
    for batch in batches(table, cut):
        if saved:
            matcher = pickle.loads(pickle.dumps(matcher))
        out.append(row_keys(matcher.push(batch), names))
    if saved:
        matcher = pickle.loads(pickle.dumps(matcher))
    return [*out, row_keys(matcher.finish(), names)]


def by_engine(
    clause: str, table: pa.Table, names: Sequence[str], cut: Sequence[int], *, workers: int, time: str | None
) -> Rows:
    """What a handler of one trigger got, from the first push to the end of input at close()."""
    out: Rows = []
    with tocsin.Engine(workers=workers) as engine:
        stream = engine.stream("events", table.schema, time=time)
        trigger = engine.trigger("found", stream, clause)

        @trigger.handler
        def collect(matches: pa.RecordBatch) -> None:
            out.extend(row_keys(matches, names))

        for batch in batches(table, cut):
            stream.push(batch)
        engine.flush()
    return out


def flat(pushes: list[Rows]) -> Rows:
    return [row for rows in pushes for row in rows]


def _matcher_door(length: int | None, saved: bool) -> Callable[..., Rows]:
    def door(clause: str, table: pa.Table, names: Sequence[str], time: str | None) -> Rows:
        n = table.num_rows
        return flat(by_matcher(clause, table, names, even(n, length or max(n, 1)), saved=saved))

    return door


def _engine_door(length: int, workers: int) -> Callable[..., Rows]:
    def door(clause: str, table: pa.Table, names: Sequence[str], time: str | None) -> Rows:
        return by_engine(clause, table, names, even(table.num_rows, length), workers=workers, time=time)

    return door


# What each is called in a test's id -> door(clause, table, names, time column or None) -> rows.
DOORS: dict[str, Callable[..., Rows]] = {
    "match_recognize": lambda clause, table, names, time: by_call(clause, table, names),
    "sql": lambda clause, table, names, time: by_sql(clause, table, names),
    "matcher, cut 1": _matcher_door(1, False),
    "matcher, cut 3": _matcher_door(3, False),
    "matcher, all": _matcher_door(None, False),
    "matcher, cut 1, saved": _matcher_door(1, True),
    "matcher, cut 3, saved": _matcher_door(3, True),
    "engine, inline, cut 1": _engine_door(1, 0),
    "engine, inline, cut 3": _engine_door(3, 0),
    "engine, one worker, cut 3": _engine_door(3, 1),
    "engine, two workers, cut 3": _engine_door(3, 2),
    "engine, seven workers, cut 1": _engine_door(1, 7),
}


def by_every_cut(clause: str, table: pa.Table, names: Sequence[str], execution: Execution) -> dict[str, Rows]:
    """What one call and the matcher find in one class, in every cut, saved and restored too."""
    n = table.num_rows
    found = {"match_recognize": by_call(clause, table, names, execution=execution)}
    for length, saved in ((1, False), (3, False), (max(n, 1), False), (1, True)):
        pushes = by_matcher(clause, table, names, even(n, length), saved=saved, execution=execution)
        found[f"matcher, cut {length}{', saved' if saved else ''}"] = flat(pushes)
    return found
