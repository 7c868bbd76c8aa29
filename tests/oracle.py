"""The naive oracle: row pattern matching as the standard words it, slow, and sharing no code with the
product.

WHAT IT FINDS. Rows are put in the order of ORDER BY (stable) and numbered 0, 1, ... over all partitions. In
each partition (nulls are one value, NaNs are one value) an attempt is made at the first row, then where AFTER
MATCH SKIP says: past the last row of a match (`skip="past_last"`), at the row after its first (`"next"`), at the
first or last row of a variable (`"first v"`, `"last v"`); at the next row after a failed attempt or an empty match.
An attempt's candidates are the paths through the program of `oracle_pattern`, most preferred first, whose every
row satisfies the DEFINE of the variable it is mapped to, given the rows mapped before it (only TRUE does; a
variable without DEFINE is always satisfied). WITHIN d admits only candidates with last.time - first.time < d, and
the empty one. The first admissible candidate is the match. Empty matches are matches: they have a number, COUNT 0,
and NULL for every measure that reads a row. With ALL ROWS PER MATCH WITH UNMATCHED ROWS a row is unmatched if its own
attempt fails and it does not lie before the end of an earlier match.

WHEN A MATCH IS CERTAIN (`_settled`). Let an input be extended in any way that respects the order: rows of any
partition, of times not below the last one seen, on which every defined variable holds or not INDEPENDENTLY of
all else (conditions are letters: what they compute is not looked into, so `x > 1 AND x < 0` counts as
satisfiable), undefined variables hold on every row; or nothing more comes. `_settled` is the number of the
first row such that after it, in every such extension, this match is reported with these measures. None: only
the end of input tells. It is computed, not searched for, by these rules, exact but for `$` (where a path through it
and a later one without it map the same rows alike, they wait for nothing):
  - After some rows have come, a path is UNDECIDED where it would consume a row that has not come, or where a
    condition cannot be told without one (NEXT; `oracle_value.PENDING` says when it can be), or at `$` before the
    input has ended. Once the window has closed (a row of ANY partition with time >= first.time + d has come) no row
    is to come any more that a path could consume. The attempt is DECIDED once the search in order of preference
    ends at a complete path, or at none, before it meets an undecided one.
  - All modes but "next", and "next" where unmatched rows are shown or a condition reads MATCH_NUMBER(): a match is
    certain when its own attempt and every earlier attempt of its partition are decided (an undecided one may still
    end elsewhere, and so move this one).
  - next: when its own attempt is decided; and if a measure or a condition reads MATCH_NUMBER(), when besides every
    earlier attempt of its partition is COUNTED: has a complete path (it will match, whichever wins), or is decided.
  - An unmatched row: when its own and all earlier attempts are decided.
  - In any case not before the rows have come that its measures read (NEXT), on any of the rows that are shown; and
    in all these modes not before what is shown of its partition ahead of it: those come in order.

COST. Without memory every search is exponential, and it is done again after each row that comes. Where every condition
is local to its row the search remembers the (instruction, row) pairs that failed, which keeps (A+)+ B polynomial. Meant
for tables of tens of rows, of about ten with conditions on the match so far.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from oracle_attempt import Holds, described, find, match_letters
from oracle_expression import EvaluationError, Instant, OracleError, Span, parse, walk
from oracle_match import View, check, is_local
from oracle_pattern import Program, compile_pattern, variables
from oracle_value import PENDING, checked, evaluate

__all__ = ["EvaluationError", "OracleError", "match_letters", "run", "values_of"]

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
    table: Mapping[str, list],
    trees: Mapping[str, tuple],
    subsets: Mapping[str, set[str]],
    rows: Sequence[int],
) -> Holds:
    """The conditions over one partition. Those that read single rows are evaluated on all of them at once."""
    told: dict[tuple, tuple[Any, float]] = {}  # -> the value, and the last row that it was read from

    def holds(
        variable: str, labels: list[str], start: int, row: int, number: int, known: int, ended: bool
    ) -> Any:
        if variable not in trees:
            return True
        if local[variable]:
            key: tuple = (variable, row, number)
            labels, start = [], row
        else:
            key = (variable, row, number, start, *labels)
        if key not in told or not (ended or told[key][1] < known):
            seen = [*labels, variable]
            view = View(table, subsets, rows, start, seen, len(seen) - 1, number, known, ended)
            value = _all_of([view.value(part) for part in _conjuncts(trees[variable])])
            if not ended and view.read >= known:
                return value  # more rows may say more
            told[key] = value, view.read
        return told[key][0]

    local = {v: is_local(tree, v, subsets) for v, tree in trees.items()}
    for v, tree in trees.items():
        kinds = {node[0] for node in walk(tree)}
        ahead = any(node[0] == "phys" and node[1] > 0 for node in walk(tree))
        if local[v] and not ahead and "match_number" not in kinds:
            for i, row in enumerate(rows):
                checked(holds(v, [], i, i, 1, len(rows), True), f"DEFINE {v}, row {row}")
    return holds


def _conjuncts(tree: tuple) -> list[tuple]:
    return [*_conjuncts(tree[1]), *_conjuncts(tree[2])] if tree[0] == "and" else [tree]


def _all_of(values: list[Any]) -> Any:
    """The AND of a definition's parts, of which only TRUE counts: one that is FALSE or NULL settles it."""
    if any(v is False or v is None for v in values):
        return False
    return next((v for v in values if v is PENDING), next((v for v in values if v is not True), True))


def sort_key(text: str) -> tuple[str, bool, bool]:
    """An ORDER BY item's expression, whether it descends, whether NULLs come first."""
    words = text.split()
    nulls_first = [w.upper() for w in words[-2:]] == ["NULLS", "FIRST"]
    if len(words) > 2 and words[-2].upper() == "NULLS":
        words = words[:-2]
    descending = words[-1].upper() == "DESC"
    if words[-1].upper() in ("ASC", "DESC") and len(words) > 1:
        words = words[:-1]
    return " ".join(words), descending, nulls_first


def column_of(text: str, data: Mapping[str, list], n: int) -> list[Any]:
    """A PARTITION BY or ORDER BY expression on each row."""
    tree = parse(text)
    return [checked(evaluate(tree, lambda node, r=r: data[node[2]][r]), text) for r in range(n)]


def ordered(data: Mapping[str, list], order_by: Iterable[str], n: int) -> list[int]:
    order = list(range(n))
    for text, descending, nulls_first in reversed([sort_key(k) for k in order_by]):
        values = [v.encode() if isinstance(v, str) else v for v in column_of(text, data, n)]
        known = sorted(
            (r for r in order if values[r] is not None), key=lambda r, v=values: v[r], reverse=descending
        )
        unknown = [r for r in order if values[r] is None]
        order = unknown + known if nulls_first else known + unknown
    return order


def run(
    rows: Sequence[Mapping[str, Any]] | pa.Table,
    *,
    pattern: str,
    partition_by: Sequence[str] = (),
    order_by: Sequence[str] = (),
    measures: Mapping[str, str] | None = None,
    define: Mapping[str, str] | None = None,
    subsets: Mapping[str, Sequence[str]] | None = None,
    skip: str = "past_last",
    within: int | str | None = None,
    all_rows: str | None = None,
) -> list[dict[str, Any]]:
    """What a clause gives over a finished table: one dict per output row, by certainty, then by start.

    `within` is a number in the unit of the first ORDER BY column, or an INTERVAL literal. `all_rows`: None (ONE ROW PER
    MATCH), "show", "omit" or "unmatched". Each row has the partition values (by their text), the measures, with
    ALL ROWS all columns of the table besides, and `_kind` ("found", "empty", "unmatched"), `_row` (which one is shown;
    with ONE ROW that at which the match starts), `_start`, `_first`, `_last` (None for an empty match), `_classifier`,
    `_match_number`, `_settled`. Raises EvaluationError for what only the rows tell, OracleError for what is no clause.
    """
    if isinstance(rows, pa.Table):
        data = {name: values_of(rows.column(name)) for name in rows.column_names}
        n = rows.num_rows
    else:
        data = {name: [r[name] for r in rows] for name in (rows[0] if rows else {})}
        n = len(rows)
    order = ordered(data, order_by, n)
    data = {name: [values[r] for r in order] for name, values in data.items()}
    keys = {text: column_of(text, data, n) for text in partition_by}
    groups: dict[tuple, list[int]] = {}
    for r in range(n):
        key = tuple("NaN" if v != v else (type(v).__name__, v) for v in (keys[c][r] for c in partition_by))
        groups.setdefault(key, []).append(r)
    times, span = None, None
    if within is not None:
        first = sort_key(order_by[0])[0]
        times = [getattr(v, "ns", v) for v in data[first]]
        span = _span(within, rows.schema.field(first).type if isinstance(rows, pa.Table) else None)

    program = compile_pattern(pattern)
    unions = _unions(subsets or {}, variables(program))
    definitions, shown = _trees(program, unions, set(data), define or {}, measures or {})
    if all_rows == "unmatched" and any(i[0] == "row" and i[2] for i in program):
        raise OracleError("an exclusion with UNMATCHED ROWS")
    if " " in skip and skip.split(" ", 1)[1] not in {*variables(program), *unions}:
        raise OracleError(f"SKIP TO {skip}")
    trees = [*definitions.values(), *shown.values()]
    results: list[tuple[float, int, dict]] = []
    in_order = all_rows == "unmatched" or any(
        node[0] == "match_number" for tree in definitions.values() for node in walk(tree)
    )
    for part in groups.values():
        holds = _conditions(data, definitions, unions, part)
        found = find(
            program,
            holds,
            part,
            local=all(is_local(tree, v, unions) for v, tree in definitions.items()),
            skip=skip,
            times=times,
            within=span,
            numbered=any(node[0] == "match_number" for tree in trees for node in walk(tree)),
            ordered=in_order,
            subsets=unions,
        )
        before: float = -1  # when what was shown of this partition was certain
        for match in found:
            wanted = all_rows == "unmatched" or match["kind"] == "found"
            if not (wanted or (match["kind"] == "empty" and all_rows != "omit")):
                continue
            earliest = -1 if skip == "next" and not in_order else before
            before, out = _output(match, data, unions, part, shown, keys, all_rows, earliest)
            results += [(before, part[match["start"]], row) for row in out]
    return [row for _, _, row in sorted(results, key=lambda r: r[:2])]


def _unions(subsets: Mapping[str, Sequence[str]], known: Sequence[str]) -> dict[str, set[str]]:
    for name, members in subsets.items():
        if name in known or not members or len(set(members)) < len(members) or not set(members) <= set(known):
            raise OracleError(f"SUBSET {name} = {members}")
    return {name: set(members) for name, members in subsets.items()}


def _trees(
    program: Program,
    unions: Mapping[str, set[str]],
    columns: set[str],
    define: Mapping[str, str],
    measures: Mapping[str, str],
) -> tuple[dict[str, tuple], dict[str, tuple]]:
    known = {*variables(program), *unions}
    for variable in define:
        if variable not in known or variable in unions:
            raise OracleError(f"DEFINE {variable}, which the pattern has not")
    definitions = {v: parse(text) for v, text in define.items()}
    shown = {name: parse(text) for name, text in measures.items()}
    for v, tree in definitions.items():
        check(tree, f"DEFINE {v}", known, columns, define=True)
    for name, tree in shown.items():
        check(tree, f"measure {name}", known, columns, define=False)
    return definitions, shown


def _output(
    match: Mapping[str, Any],
    data: Mapping[str, list],
    unions: Mapping[str, set[str]],
    rows: Sequence[int],
    measures: Mapping[str, tuple],
    keys: Mapping[str, list],
    all_rows: str | None,
    earliest: float,
) -> tuple[float, list[dict[str, Any]]]:
    """When the match is certain, its measures included, and its output rows."""
    start, labels = match["start"], match["labels"]
    ats = [len(labels) - 1]  # the rows of the match at which the measures are evaluated
    if all_rows and labels:
        ats = [j for j, excluded in enumerate(match["excluded"]) if not excluded]
    read: float = -1
    lines = []
    for at in ats:
        view = View(data, unions, rows, start, labels, at, match["number"], len(rows))
        values = {name: checked(view.value(tree), f"measure {name}") for name, tree in measures.items()}
        if match["kind"] == "unmatched":
            values = dict.fromkeys(measures)
        read = max(
            read, view.read if view.read == math.inf else rows[int(view.read)] if view.read >= 0 else -1
        )
        shown = rows[start + max(at, 0)] if all_rows else rows[start]
        columns = {name: column[shown] for name, column in data.items()} if all_rows else {}
        parts = {text: column[shown] for text, column in keys.items()}
        lines.append(columns | parts | values | {"_row": shown, "_kind": match["kind"]})
    settled = max(match["settled"], read, earliest)
    told = described(match, rows, settled)
    used = told.pop("_rows")
    told |= {"_first": used[0] if used else None, "_last": used[-1] if used else None}
    return settled, [line | told for line in lines]


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
