"""The naive oracle: row pattern matching as the standard words it, slow, and sharing no code with the
product.

WHAT IT FINDS. Rows are put in the order of ORDER BY (stable) and numbered 0, 1, ... over all partitions. In
each partition (nulls are one value, NaNs are one value) an attempt is made at the first row, then where AFTER
MATCH SKIP says: past the last row of a match (`skip="past_last"`), at the row after its first (`"next"`), at
the next row after a failed attempt or an empty match. An attempt's candidates are the paths through the
program of `oracle_pattern`, most preferred first, whose every row satisfies the DEFINE of the variable it is
mapped to (only TRUE does; a variable without DEFINE is always satisfied). WITHIN d admits only candidates
with last.time - first.time < d, and the empty one. The first admissible candidate is the match. Empty matches
are matches: they have a number, COUNT 0, and NULL for every measure that reads a row.

WHEN A MATCH IS CERTAIN (`_settled`). Let an input be extended in any way that respects the order: rows of any
partition, of times not below the last one seen, on which every defined variable holds or not INDEPENDENTLY of
all else (conditions are letters: what they compute is not looked into, so `x > 1 AND x < 0` counts as
satisfiable), undefined variables hold on every row; or nothing more comes. `_settled` is the number of the
first row such that after it, in every such extension, this match is reported with these measures. None: only
the end of input tells. It is computed, not searched for, by these rules, each of them exact under the
assumption:
  - An attempt's live paths at some point of the input are those which may still consume a row: after the
    window has closed (a row of ANY partition with time >= first.time + d has been seen), none. Any live path
    can still succeed. So an attempt is DECIDED once no live path is preferred to its best complete one.
  - past_last: a match is certain when its own attempt and every earlier attempt of its partition are decided
    (an undecided one may still end beyond, and swallow this one).
  - next: when its own attempt is decided; and if a measure reads MATCH_NUMBER(), when besides every earlier
    attempt of its partition is COUNTED: has a complete path (it will match, whichever wins), or is decided.
`decide` steps sets of paths row by row, the way an automaton does, and so is also a second opinion on the
backtracking; a disagreement is an AssertionError.

COST. Backtracking remembers the (instruction, row) pairs that are known to fail right after a consumed row:
what follows depends on nothing else there, so this is sound, and it keeps (A+)+ B polynomial. Meant for
tables of tens of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from oracle_expression import (
    EvaluationError,
    Instant,
    OracleError,
    Span,
    checked,
    columns,
    evaluate,
    parse,
)
from oracle_pattern import Program, compile_pattern, variables

__all__ = ["EvaluationError", "OracleError", "match_letters", "run", "values_of"]

Holds = Callable[[str, int], bool]  # (variable, row of the partition) -> the row may be mapped to it


# ---------------------------------------------------------------- one attempt


def ways(program: Program, at: int) -> Iterator[int]:
    """The "row" and "done" instructions that can be reached from `at` without consuming, preferred first."""

    def walk(pc: int, passed: frozenset[int]) -> Iterator[int]:
        if pc in passed:
            return
        instruction = program[pc]
        if instruction[0] in ("row", "done"):
            yield pc
        else:
            for target in instruction[1:]:
                yield from walk(target, passed | {pc})

    return iter(dict.fromkeys(walk(at, frozenset())))  # a second way to the same place adds nothing


def attempt(program: Program, holds: Holds, start: int, stop: int) -> list[str] | None:
    """The variables of the preferred match at `start` that uses rows before `stop`, or None."""
    failed: set[tuple[int, int]] = set()

    def search(at: int, row: int) -> list[str] | None:
        if (at, row) in failed:
            return None
        for pc in ways(program, at):
            if program[pc][0] == "done":
                return []
            if row < stop and holds(program[pc][1], row):
                rest = search(pc + 1, row + 1)
                if rest is not None:
                    return [program[pc][1], *rest]
        failed.add((at, row))
        return None

    return search(0, start)


def decide(
    program: Program, holds: Holds, start: int, stop: int
) -> tuple[int | None, int | None, int | None]:
    """Steps the live paths of the attempt at `start` over its rows: (length, counted, decided).

    `length`: of the match over all rows, None if there is none; `counted`: the row of the partition by which
    a complete path existed; `decided`: the row by which no live path was preferred to the best complete one.
    Rows are those of the partition, before `stop`; None: not by any of them.
    """
    live = list(ways(program, 0))
    length: int | None = None
    counted: int | None = None

    def complete(consumed: int) -> None:
        nonlocal live, length
        for i, pc in enumerate(live):
            if program[pc][0] == "done":
                live, length = live[:i], consumed
                return

    complete(0)
    if length is not None:
        counted = start
    if not live:
        return length, counted, start
    for row in range(start, stop):
        reached: dict[int, None] = {}
        for pc in live:
            if holds(program[pc][1], row):
                reached.update(dict.fromkeys(ways(program, pc + 1)))
        live = list(reached)
        complete(row + 1 - start)
        if length is not None and counted is None:
            counted = row
        if not live:
            return length, counted, row
    return length, counted, None


# ---------------------------------------------------------------- all attempts, on letters


def match_letters(
    program: Program,
    holds: Callable[[str, int], bool],
    partitions: Sequence[Sequence[int]],
    *,
    skip: str = "past_last",
    times: Sequence[int] | None = None,
    within: int | None = None,
    numbered: bool = False,
) -> list[dict[str, Any]]:
    """Matches over rows 0, 1, ... of which only the letters are known.

    `holds(variable, row)`, and `partitions` as lists of row numbers; `times` (non-decreasing) and `within` in
    one unit. Each match: `_start`, `_rows` (row numbers), `_classifier`, `_match_number`, `_settled`.
    """
    matches: list[dict[str, Any]] = []
    for rows in partitions:

        def local(variable: str, i: int, rows: Sequence[int] = rows) -> bool:
            return holds(variable, rows[i])

        start, number = 0, 1
        earlier_decided: float = -1  # the row by which the attempts so far were decided; infinity: the end
        earlier_counted: float = -1
        while start < len(rows):
            stop, closes = len(rows), math.inf
            if within is not None and times is not None:
                limit = times[rows[start]] + within
                stop = next((i for i in range(start, len(rows)) if times[rows[i]] >= limit), stop)
                closes = next((g for g, t in enumerate(times) if g > rows[start] and t >= limit), math.inf)
            labels = attempt(program, local, start, stop)
            length, counted_at, decided_at = decide(program, local, start, stop)
            assert length == (None if labels is None else len(labels)), (program, labels, length)
            decided = min(math.inf if decided_at is None else rows[decided_at], closes)
            counted = min(math.inf if counted_at is None else rows[counted_at], decided)
            if skip == "past_last":
                settled = earlier_decided = max(earlier_decided, decided)
            else:
                settled = max(decided, earlier_counted) if numbered else decided
            earlier_counted = max(earlier_counted, counted)
            if labels is not None:
                matches.append(
                    {
                        "_start": rows[start],
                        "_rows": list(rows[start : start + len(labels)]),
                        "_classifier": labels,
                        "_match_number": number,
                        "_settled": None if settled == math.inf else int(settled),
                    }
                )
                number += 1
            start += len(labels) if labels and skip == "past_last" else 1
    return matches


# ---------------------------------------------------------------- tables, conditions, measures


def _nanoseconds(kind: pa.DataType) -> int:
    """In one unit of a temporal type; date64 counts milliseconds, date32 days."""
    unit = {pa.date32(): "day", pa.date64(): "ms"}.get(kind) or kind.unit
    return {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "day": 86_400 * 10**9}[unit]


def values_of(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """An Arrow column as the oracle's values: times become exact Instants and Spans, dictionaries their
    values."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        decoded: list[Any] = []
        for chunk in chunks:
            words = values_of(chunk.dictionary)
            decoded += [None if i is None else words[i] for i in chunk.indices.to_pylist()]
        return decoded
    if pa.types.is_temporal(kind):
        counts = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist()
        as_value = Span if pa.types.is_duration(kind) else Instant
        return [None if v is None else as_value(v * _nanoseconds(kind)) for v in counts]
    if pa.types.is_float16(kind):
        return [None if v is None else float(v) for v in column.to_pylist()]
    return column.to_pylist()


def _conditions(
    data: Mapping[str, list], define: Mapping[str, str], partitions: Iterable[Sequence[int]]
) -> Holds:
    truth: dict[tuple[str, int], bool] = {}
    for variable, text in define.items():
        tree = parse(text)
        for _, name in columns(tree):
            if name not in data:
                raise OracleError(f"no column {name}")
        if any(v not in (None, variable) for v, _ in columns(tree)):
            raise OracleError(f"DEFINE {variable} reads another variable: {text}")
        for rows in partitions:
            for i in range(len(rows)):
                value = evaluate(tree, lambda node, i=i, rows=rows: _at_row(node, data, rows, i))
                truth[variable, rows[i]] = checked(value, f"DEFINE {variable}, row {rows[i]}") is True
    return lambda variable, row: truth.get((variable, row), True)


def _at_row(node: tuple, data: Mapping[str, list], rows: Sequence[int], i: int) -> Any:
    """A leaf of a condition at the i-th row of its partition; PREV moves i, and before the first row is
    NULL."""
    if node[0] == "col":
        return data[node[2]][rows[i]] if i >= 0 else None
    if node[0] == "prev":
        if i < node[2]:
            return None
        return evaluate(node[1], lambda leaf: _at_row(leaf, data, rows, i - node[2]))
    raise OracleError(f"{node[0]} in a condition")


def _measure(tree: tuple, data: Mapping[str, list], match: Mapping[str, Any], known: Sequence[str]) -> Any:
    rows, labels = match["_rows"], match["_classifier"]

    def mapped(variable: str | None) -> list[int]:
        if variable is not None and variable not in known:
            raise OracleError(f"no variable {variable}")
        return [r for r, label in zip(rows, labels, strict=True) if variable in (None, label)]

    def at(x: tuple, row: int) -> Any:
        return evaluate(x, lambda node: data[node[2]][row])

    def read_by(x: tuple) -> list[int]:
        owners = {v for v, _ in columns(x)}
        if len(owners) > 1:
            raise OracleError("one navigation or aggregate over several variables")
        return mapped(owners.pop() if owners else None)

    def leaf(node: tuple) -> Any:
        kind = node[0]
        if kind == "classifier":
            return labels[-1] if labels else None
        if kind == "match_number":
            return match["_match_number"]
        if kind == "count":
            return len(mapped(node[1]))
        if kind == "col":
            found = mapped(node[1])
            return data[node[2]][found[-1]] if found else None
        if kind == "nav":
            found = read_by(node[2])
            if node[1] == "LAST":
                found = found[::-1]
            return at(node[2], found[node[3]]) if node[3] < len(found) else None
        if kind == "agg":
            return _aggregate(node[1], [at(node[2], r) for r in read_by(node[2])])
        raise OracleError(f"{kind} in a measure")

    return evaluate(tree, leaf)


def _aggregate(name: str, values: list[Any]) -> Any:
    values = [v for v in values if v is not None]
    if name == "COUNT":
        return len(values)
    if not values:
        return None
    if name in ("MIN", "MAX"):
        ordered = sorted(values, key=lambda v: v.encode() if isinstance(v, str) else v)
        return ordered[0] if name == "MIN" else ordered[-1]
    tree: tuple = ("lit", values[0])
    for v in values[1:]:
        tree = ("op", "+", tree, ("lit", v))
    if name == "SUM":
        return evaluate(tree, lambda _: None)
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def run(
    rows: Sequence[Mapping[str, Any]] | pa.Table,
    *,
    pattern: str,
    partition_by: Sequence[str] = (),
    order_by: Sequence[str] = (),
    measures: Mapping[str, str] | None = None,
    define: Mapping[str, str] | None = None,
    skip: str = "past_last",
    within: int | str | None = None,
) -> list[dict[str, Any]]:
    """All matches of a clause over a finished table, partitions in order of appearance, then by start.

    `within` is a number in the unit of the first ORDER BY column, or an INTERVAL literal. Each match is a
    dict of the partition values, the measures, and `_start`, `_first`, `_last` (None for an empty match),
    `_classifier`, `_match_number`, `_settled`. Raises EvaluationError as the file's top says, OracleError for
    what is no clause.
    """
    if isinstance(rows, pa.Table):
        data = {name: values_of(rows.column(name)) for name in rows.column_names}
        n = rows.num_rows
    else:
        data = {name: [r[name] for r in rows] for name in (rows[0] if rows else {})}
        n = len(rows)
    if order_by:
        order = sorted(range(n), key=lambda r: [(data[c][r] is None, data[c][r]) for c in order_by])
        data = {name: [values[r] for r in order] for name, values in data.items()}
    groups: dict[tuple, list[int]] = {}
    for r in range(n):
        key = tuple("NaN" if v != v else (type(v).__name__, v) for v in (data[c][r] for c in partition_by))
        groups.setdefault(key, []).append(r)
    partitions = list(groups.values())
    times, span = None, None
    if within is not None:
        times = [getattr(v, "ns", v) for v in data[order_by[0]]]
        span = _span(within, rows.schema.field(order_by[0]).type if isinstance(rows, pa.Table) else None)

    program = compile_pattern(pattern)
    known = variables(program)
    for variable in define or {}:
        if variable not in known:
            raise OracleError(f"DEFINE {variable}, which the pattern has not")
    trees = {name: parse(text) for name, text in (measures or {}).items()}
    found = match_letters(
        program,
        _conditions(data, define or {}, partitions),
        partitions,
        skip=skip,
        times=times,
        within=span,
        numbered=any("('match_number',)" in repr(t) for t in trees.values()),
    )
    results = []
    for match in found:
        row = {c: data[c][match["_start"]] for c in partition_by}
        for name, tree in trees.items():
            row[name] = checked(_measure(tree, data, match, known), f"measure {name}")
        used = match.pop("_rows")
        match |= {"_first": used[0] if used else None, "_last": used[-1] if used else None}
        results.append(row | match)
    return results


def _span(within: int | str, kind: pa.DataType | None) -> int:
    """WITHIN in the unit that the times are compared in: nanoseconds for temporal columns."""
    if isinstance(within, str):
        value = parse(within)[1]
        if not isinstance(value, Span):
            raise OracleError(f"WITHIN {within}")
        return value.ns
    if kind is None or not (pa.types.is_temporal(kind)):
        return within
    return within * _nanoseconds(kind)
