"""From a row-local plan to its operator: what is kept of a row, where each leaf reads, and the output's columns.

A leaf reads in one of three places, the cheapest that gives its value:

    start   the match's first row, if the variable is surely there (every match begins with it)
    end     the match's last row, likewise
    rows    the labelled rows of the match: the matcher then keeps a record per row of the open attempts
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pyarrow as pa

from tocsin.compile.fingerprint import fingerprint
from tocsin.compile.ir import kernel_kind
from tocsin.compile.plan import Measure, Plan
from tocsin.compile.program import ProgramBuilder, make_conditions, type_number
from tocsin.compile.results import (
    ALL,
    FIRST_SEQUENCE,
    LAST_SEQUENCE,
    After,
    late_measures,
    result_type,
)
from tocsin.compile.sites import Sites
from tocsin.compile.trees import walk
from tocsin.errors import PatternError
from tocsin_core.automaton import Automaton
from tocsin_core.expression import TYPES
from tocsin_core.matcher import LEAVES, PatternMatcher
from tocsin_core.output import Output
from tocsin_core.schema import Schema

KINDS_MAX = 64  # columns whose values may be kept (one NULL bit each)


class _Values:
    """Columns whose values are kept with a row, each once."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.columns: list[int] = []

    def number(self, column: int) -> int:
        if column not in self.columns:
            self.columns.append(column)
        return self.columns.index(column)

    def list(self) -> list[tuple[int, int]]:
        if len(self.columns) > KINDS_MAX:
            raise PatternError(
                f"MEASURES reads {len(self.columns)} columns of the rows; at most {KINDS_MAX} can be kept"
            )
        return [(c, type_number(self.schema.field(c).type)) for c in self.columns]


def _layouts(types: list[pa.DataType]) -> list[tuple[int, int]]:
    """(Kind, width) of output columns of these types."""
    fields = [pa.field(str(i), type) for i, type in enumerate(types)]
    return [(kind, 0) for kind in Schema.from_arrow(pa.schema(fields)).kinds]


def row_local(
    plan: Plan,
    *,
    positions: bool = False,
    groups_only: bool = False,
    keep_rows: bool = False,
    ranked: bool = False,
) -> tuple[PatternMatcher, pa.Schema, After | None]:
    """The operator of a row-local plan (classes (a) and (b)), and the schema of its matches.

    The third is what computes the measures that a library has to compute, or None.

    Args:
        plan: from compile_clause.
        positions: whether the output ends with the columns _first_sequence and _last_sequence (int64), the
            stream's sequence of the match's first and last row; the latter is NULL for an empty match.
        groups_only: leave out the quicker of the two ways in which attempts are stepped, to test one by the other.
        keep_rows: keep a record per row even where no leaf needs one, to test (a) by (b).
        ranked: whether two columns by which the matches of several instances are merged stand behind the output's
            (tocsin_core/operator.pxd, order of matches); the schema does not name them.
    """
    plan, after = _without_late(plan, positions)
    schema = plan.schema
    sites = Sites.of(plan)
    starts, ends, rows = _Values(schema), _Values(schema), _Values(schema)
    n_variables = len(plan.variables)
    leaves: list[tuple[int, int, int, int, int, int]] = []
    types: list[pa.DataType] = []

    def leaf_row(
        kind: str, column: int, type_: int, out: pa.DataType, offset: int = 0, variables: int = ALL
    ) -> None:
        leaves.append((LEAVES[kind], column, type_, type_number(out), offset, variables))
        types.append(result_type(out))

    places = {leaf: sites.place(leaf, n_variables) for leaf in plan.leaves if leaf.kind != "match_number"}
    labelled = keep_rows or "rows" in places.values()
    if labelled:  # every row is kept anyway, the first and the last too
        starts = ends = rows
    for leaf in plan.leaves:
        value = type_number(schema.field(leaf.column).type) if leaf.column >= 0 else TYPES["i64"]
        if leaf.kind == "match_number":
            leaf_row("match_number", -1, value, leaf.type)
            continue
        place = places[leaf]
        if place == "start" and leaf.column == plan.time and plan.within is not None:
            leaf_row("start_time", -1, value, leaf.type)
        elif place == "start":
            leaf_row("start", starts.number(leaf.column), value, leaf.type)
        elif place == "end":
            leaf_row("end", ends.number(leaf.column), value, leaf.type)
        else:
            column = rows.number(leaf.column) if leaf.column >= 0 else -1
            leaf_row(leaf.kind, column, value, leaf.type, leaf.offset, leaf.variables)
    n_plain = len(leaves)
    for number, key in enumerate(plan.partition):
        leaf_row("key", number, type_number(schema.field(key).type), plan.output_schema.field(number).type)
    if positions or not leaves:  # without any column the matches could not even be counted
        leaf_row("first_sequence", -1, TYPES["i64"], pa.int64())
        leaf_row("last_sequence", -1, TYPES["i64"], pa.int64())
    if ranked:
        leaf_row("settled", -1, TYPES["i64"], pa.int64())
        leaf_row("turn", -1, TYPES["i64"], pa.int64())
    layouts = _layouts(types)

    # A measure that is one leaf takes that leaf's column as it stands, the first time; others are computed.
    builder = ProgramBuilder()
    columns: list[tuple[int, int, int, int]] = [
        (n_plain + number, -1, 0, 0) for number in range(len(plan.partition))
    ]
    fields = [
        pa.field(plan.output_schema.field(i).name, types[n_plain + i]) for i in range(len(plan.partition))
    ]
    handed: set[int] = set()
    computed: list[str] = []
    for measure in plan.measures:
        node = measure.node
        if node.op == "leaf" and node.attr not in handed:
            handed.add(node.attr)  # type: ignore[arg-type]
            columns.append((node.attr, -1, 0, 0))  # type: ignore[arg-type]
            fields.append(pa.field(measure.name, types[node.attr]))  # type: ignore[call-overload]
        else:
            made = result_type(node.type if kernel_kind(node.type) is not None else pa.bool_())
            columns.append((-1, builder.add(node), *_layouts([made])[0]))
            computed.append(measure.name)
            fields.append(pa.field(measure.name, made))
    if positions:
        first = n_plain + len(plan.partition)
        columns += [(first, -1, 0, 0), (first + 1, -1, 0, 0)]
        fields += [pa.field(FIRST_SEQUENCE, pa.int64()), pa.field(LAST_SEQUENCE, pa.int64())]
    if ranked:
        columns += [(len(leaves) - 2, -1, 0, 0), (len(leaves) - 1, -1, 0, 0)]
    output_schema = pa.schema(fields)

    def make_result() -> Output:
        return Output(builder.program(), cast(list[int], builder.sources), layouts, columns)

    if plan.within is not None and plan.time is None:
        raise AssertionError("a plan with WITHIN has a time")
    single = len(plan.partition) == 1 and kernel_kind(schema.field(plan.partition[0]).type) not in (
        None,
        "str",
    )
    operator = PatternMatcher(
        {
            "input": Schema.from_arrow(schema),
            "output": Schema.from_arrow(output_schema),
            "automaton": Automaton(
                plan.positions, plan.condition_of, plan.first, plan.follow, len(plan.conditions)
            ),
            "first": plan.first,
            "groups_only": groups_only,
            "conditions": make_conditions(plan.conditions),
            "result": make_result(),
            "make_conditions": lambda: make_conditions(plan.conditions),
            "make_result": make_result,
            "keys": list(plan.partition),
            "single": single,
            "order": [(c, type_number(schema.field(c).type), down, first) for c, down, first in plan.order],
            "timed": plan.time is not None,
            "within": plan.within,
            "overlapping": plan.skip == "next",
            "labelled": labelled,
            "numbered": any(leaf.kind == "match_number" for leaf in plan.leaves),
            "start_values": [] if labelled else starts.list(),
            "end_values": [] if labelled else ends.list(),
            "row_values": rows.list(),
            "leaves": leaves,
            "names": [name.encode() for name in plan.variables],
            "fingerprint": fingerprint(plan, output_schema, keep_rows),
            "condition_names": plan.condition_names,
            "computed_names": computed,
        }
    )
    return operator, output_schema, after


def _without_late(plan: Plan, positions: bool) -> tuple[Plan, After | None]:
    """The plan with the leaves that late measures read in their place, and what computes those measures from them."""
    late = late_measures(plan)
    if not late:
        return plan, None
    # Only here: a program without such measures never loads the library.
    from tocsin.compile.late import LateMeasures

    n_keys = len(plan.partition)
    fields = [plan.output_schema.field(i) for i in range(n_keys)]
    measures = [m for m in plan.measures if m not in late]
    leaves: dict[int, int] = {}
    for node in walk(*(m.node for m in late)):
        if node.op == "leaf":
            leaves[cast(int, node.attr)] = n_keys + len(measures)
            measures.append(Measure(f"_leaf_{node.attr}", node))
    fields += [pa.field(m.name, m.node.type) for m in measures]
    shown = {field.name: i for i, field in enumerate(fields)}
    final = [pa.field(f.name, result_type(f.type)) for f in plan.output_schema]
    if positions:
        shown |= {FIRST_SEQUENCE: len(fields), LAST_SEQUENCE: len(fields) + 1}
        final += [pa.field(FIRST_SEQUENCE, pa.int64()), pa.field(LAST_SEQUENCE, pa.int64())]
    computed = {m.name for m in late}
    after = LateMeasures(
        pa.schema(final),
        [-1 if f.name in computed else shown[f.name] for f in final],
        [m.node for m in late],
        leaves,
        -1,
    )
    return replace(plan, measures=tuple(measures), output_schema=pa.schema(fields)), after
