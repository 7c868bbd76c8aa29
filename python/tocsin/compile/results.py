"""From a plan to Results: what is read of a finished match, and the columns that are made of it.

Leaves come first, in the plan's order; behind them the partition's columns, with ALL ROWS PER MATCH those of the rows
themselves, and what tells matches apart. A measure that is one leaf takes that leaf's column as it stands; others are
computed by the core's expression kernel, or, where the kernel cannot, by a library when the batch is made (late.py):
then the batch has the leaves that it needs as further columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Protocol, cast

import pyarrow as pa

from tocsin.compile.ir import (
    CLASSIFIER,
    MATCH_NUMBER,
    Leaf,
    Node,
    is_binary,
    is_text,
    kernel_kind,
    value_type,
)
from tocsin.compile.plan import Measure, Plan
from tocsin.compile.program import ProgramBuilder, type_number
from tocsin.compile.sites import Sites
from tocsin.errors import PatternError
from tocsin_core.aggregate import AGGREGATES
from tocsin_core.arguments import ArgumentGroup
from tocsin_core.expression import TYPES
from tocsin_core.output import Output
from tocsin_core.results import KINDS, SOURCES, Results
from tocsin_core.schema import Schema

ALL = (1 << 64) - 1
KIND_NONE, KIND_LIST = 0, 64  # of column.pxd and builder.pxd
FIRST_SEQUENCE, LAST_SEQUENCE = "_first_sequence", "_last_sequence"

Argument = tuple[int, int, int]
NO_ARGUMENT: Argument = (SOURCES["none"], 0, TYPES["i64"])


class After(Protocol):
    """What makes the final batches where a library computes measures: late.LateMeasures, which has the details."""

    schema: pa.Schema

    def __call__(self, matches: Any) -> pa.RecordBatch | None: ...
    def save(self) -> bytes: ...
    def restore(self, state: bytes) -> None: ...


def make_results(
    plan: Plan, positions: bool, history_columns: list[int], ranked: bool = False
) -> tuple[Results, pa.Schema, After | None]:
    """What turns the matches of a plan into batches.

    Args:
        plan: from make_plan.
        positions: whether the output ends with _first_sequence and _last_sequence (int64), the stream's sequence of
            the match's first and last row; the latter is NULL for an empty match.
        history_columns: which column of the plan's schema each column of the History is; all of
            `result_columns(plan)` are among them.
        ranked: whether two columns by which the matches of several instances are merged stand behind the output's
            (tocsin_core/operator.pxd, order of matches); the schema does not name them.

    Returns:
        The Results; the schema of its batches; and what makes the final batch of such a one (with the schema that it
        has as `schema`), where a library computes some of the measures, else None: the batches are final.

    Raises:
        PatternError: ALL ROWS PER MATCH would have to show a column that cannot be copied row by row.

    Example:
        >>> results, schema, after = make_results(plan, False, result_columns(plan))  # doctest: +SKIP
    """
    return _Maker(plan, positions, history_columns).make(ranked)


def result_columns(plan: Plan) -> list[int]:
    """The columns of the plan's schema that the output reads of the rows of a match, each once."""
    found: dict[int, None] = {}
    for leaf in plan.leaves:
        if leaf.column >= 0:
            found[leaf.column] = None
        for argument in leaf.arguments:
            for node in _nodes(argument):
                if node.op == "column" and cast(tuple[int, int], node.attr)[0] >= 0:
                    found[cast(tuple[int, int], node.attr)[0]] = None
    for column in _row_columns(plan).values():
        found[column] = None
    return list(found)


def result_type(type: pa.DataType) -> pa.DataType:
    """The type in which the core writes values of `type`: text in the plain layout, half floats as float32."""
    type = value_type(type)
    if pa.types.is_list(type):
        return pa.list_(result_type(type.value_type))
    if pa.types.is_null(type):
        return pa.bool_()
    if is_text(type):
        return pa.string()
    if is_binary(type):
        return pa.binary()
    return pa.float32() if pa.types.is_float16(type) else type


def row_type(type: pa.DataType) -> pa.DataType:
    """The type in which a row's own column is shown: as result_type, and a column without a type keeps none."""
    return type if pa.types.is_null(type) else result_type(type)


def layout(type: pa.DataType) -> tuple[int, int]:
    """(Kind, width) of an output column of a type that `result_type` or `row_type` gave."""
    if pa.types.is_list(type):
        kind, width = layout(type.value_type)
        return KIND_LIST | kind << 8, width
    kind = Schema.from_arrow(pa.schema([pa.field("x", type)])).kinds[0]
    fixed = pa.types.is_decimal(type) or pa.types.is_fixed_size_binary(type) or pa.types.is_interval(type)
    return kind, type.bit_width // 8 if fixed else 0


def needs_library(node: Node) -> bool:
    """Whether the kernel cannot compute a measure."""
    return any(
        n.op == "call" or (n.op == "leaf" and kernel_kind(n.type) is None and not pa.types.is_null(n.type))
        for n in _nodes(node)
    )


def _nodes(root: Node) -> Iterator[Node]:
    """Every node of a tree, once."""
    stack, met = [root], {id(root)}
    while stack:
        node = stack.pop()
        yield node
        for argument in node.args:
            if id(argument) not in met:
                met.add(id(argument))
                stack.append(argument)


def _row_columns(plan: Plan) -> dict[str, int]:
    """ALL ROWS PER MATCH: the output columns that are the rows' own, by name."""
    if plan.rows != "all":
        return {}
    taken = {m.name for m in plan.measures} | {plan.schema.field(i).name for i in plan.partition}
    return {name: plan.schema.names.index(name) for name in plan.output_schema.names if name not in taken}


def late_measures(plan: Plan) -> list[Measure]:
    """The measures that a library has to compute, of finished matches."""
    return [measure for measure in plan.measures if needs_library(measure.node)]


class _Maker:
    def __init__(self, plan: Plan, positions: bool, history_columns: list[int]) -> None:
        self.plan = plan
        self.positions = positions
        self.place_of = {column: place for place, column in enumerate(history_columns)}
        for column in result_columns(plan):
            if column not in self.place_of:
                raise ValueError(f"the History has no column {plan.schema.field(column).name!r}")
        self.n_columns = len(history_columns)
        self.everything = (1 << len(plan.variables)) - 1
        self.sites = Sites.of(plan)
        # One entry per leaf.
        self.leaves: list[tuple[int, int, int, int, bool, int, int, int, tuple[Argument, Argument]]] = []
        self.types: list[pa.DataType] = []
        self.names: list[str] = []
        # Arguments that are expressions, by the variables whose rows they are over.
        self.arguments: dict[int, ProgramBuilder] = {}
        self.argument_types: dict[int, list[pa.DataType]] = {}
        # The columns of the batches, and which of them a leaf is handed over as.
        self.columns: list[tuple[int, int, int, int]] = []
        self.fields: list[pa.Field] = []
        self.handed: dict[int, int] = {}
        self.measures = ProgramBuilder()
        self.computed: list[str] = []

    # -- leaves

    def leaf(
        self,
        kind: str,
        type: pa.DataType,
        *,
        function: int = 0,
        column: int = -1,
        final: bool = True,
        offset: int = 0,
        physical: int = 0,
        variables: int = ALL,
        arguments: tuple[Argument, Argument] = (NO_ARGUMENT, NO_ARGUMENT),
        name: str = "",
    ) -> int:
        register = type_number(type)
        self.leaves.append(
            (KINDS[kind], function, register, column, final, offset, physical, variables, arguments)
        )
        self.types.append(type)
        self.names.append(name)
        return len(self.leaves) - 1

    def plan_leaf(self, leaf: Leaf, name: str) -> int:
        type = result_type(leaf.type)
        variables, final = leaf.variables & self.everything, leaf.final or self.plan.rows == "one"
        if leaf.kind == "match_number":
            return self.leaf("match_number", type, name=name)
        if leaf.kind == "count_rows" and variables == self.everything and final:
            return self.leaf("length", type, name=name)
        if leaf.kind in ("first", "last", "classifier"):
            kind, column = leaf.kind, leaf.column
            if kind == "classifier":
                kind, column = "last", CLASSIFIER
            elif final and column >= 0:
                place = self.sites.place(leaf, len(self.plan.variables))
                if place != "rows":
                    kind, variables = ("first" if place == "start" else "last"), self.everything
            return self.leaf(
                kind,
                type,
                final=final,
                offset=leaf.offset,
                physical=leaf.physical,
                variables=variables,
                arguments=(self.column_argument(column), NO_ARGUMENT),
                name=name,
            )
        given = [self.argument(node, variables) for node in leaf.arguments]
        if not given and leaf.column == MATCH_NUMBER:
            number = Node("column", pa.int64(), (), (MATCH_NUMBER, 0))
            given = [self.argument(number, variables)]
        elif not given and leaf.kind != "count_rows":
            given = [self.column_argument(leaf.column)]
        function = leaf.kind
        if function == "sum" and kernel_kind(leaf.type) == "f64":
            function = "sum_real"
        given += [NO_ARGUMENT] * (2 - len(given))
        return self.leaf(
            "list" if leaf.kind == "array_agg" else "aggregate",
            type,
            function=0 if leaf.kind == "array_agg" else AGGREGATES[function],
            final=final,
            variables=variables,
            arguments=(given[0], given[1]),
            name=name,
        )

    def column_argument(self, column: int) -> Argument:
        if column == CLASSIFIER:
            return (SOURCES["classifier"], 0, TYPES["str"])
        return (SOURCES["history"], self.place_of[column], type_number(self.plan.schema.field(column).type))

    def argument(self, node: Node, variables: int) -> Argument:
        if node.op == "column" and cast(tuple[int, int], node.attr)[0] != MATCH_NUMBER:
            return self.column_argument(cast(tuple[int, int], node.attr)[0])
        builder = self.arguments.setdefault(variables, ProgramBuilder())
        types = self.argument_types.setdefault(variables, [])
        types.append(result_type(node.type))
        # Numbered among those of its group; `groups` makes it a number among those of all.
        return (SOURCES["group"], builder.add(node), type_number(node.type))

    def groups(self) -> ArgumentGroup | None:
        """Makes the groups, and their numbers in the leaves those of all results."""
        base, begins = 0, {}
        for variables, types in self.argument_types.items():
            begins[variables] = base
            base += len(types)
        for i, leaf in enumerate(self.leaves):
            *rest, variables, arguments = leaf
            moved = tuple(
                (source, number + begins[variables], type)
                if source == SOURCES["group"]
                else (source, number, type)
                for source, number, type in arguments
            )
            self.leaves[i] = (*rest, variables, moved)  # type: ignore[assignment]
        group: ArgumentGroup | None = None
        for variables, builder in reversed(self.arguments.items()):
            sources = [
                column if column < 0 else self.place_of[column]
                for column, _ in cast(list[tuple[int, int]], builder.sources)
            ]
            layouts = [layout(type) for type in self.argument_types[variables]]
            group = ArgumentGroup(variables, builder.program(), sources, layouts, self.n_columns, group)
        return group

    # -- columns

    def hand(self, leaf: int, name: str) -> int:
        self.handed[leaf] = len(self.columns)
        self.columns.append((leaf, -1, 0, 0))
        self.fields.append(pa.field(name, self.types[leaf]))
        return self.handed[leaf]

    def compute(self, measure: Measure) -> None:
        type = result_type(measure.node.type)
        self.columns.append((-1, self.measures.add(measure.node), *layout(type)))
        self.computed.append(measure.name)
        self.fields.append(pa.field(measure.name, type))

    def row_field(self, name: str, column: int) -> None:
        type = value_type(self.plan.schema.field(column).type)
        if pa.types.is_list(type) or layout(row_type(type))[0] == KIND_NONE:
            raise PatternError(
                f"ALL ROWS PER MATCH shows every column of the input, and column '{name}' of type {type} cannot be "
                "copied row by row yet: leave it out of the input, or use ONE ROW PER MATCH"
            )
        self.hand(self.leaf("row", row_type(type), column=self.place_of[column]), name)

    def make(self, ranked: bool) -> tuple[Results, pa.Schema, After | None]:
        plan = self.plan
        readers: dict[int, list[str]] = {}
        for measure in plan.measures:
            for node in _nodes(measure.node):
                if node.op == "leaf":
                    readers.setdefault(cast(int, node.attr), []).append(measure.name)
        for number, leaf in enumerate(plan.leaves):
            self.plan_leaf(leaf, ", ".join(dict.fromkeys(readers.get(number, []))))
        match_leaf = self.leaf("match", pa.int64()) if plan.rows == "all" else -1
        measures = {m.name: m for m in plan.measures}
        keys = {plan.schema.field(column).name: number for number, column in enumerate(plan.partition)}
        rows = _row_columns(plan)
        late: list[Measure] = []
        for name in plan.output_schema.names:
            if name in measures:
                self.measure(measures[name], late)
            elif name in keys:
                type = row_type(plan.schema.field(plan.partition[keys[name]]).type)
                self.hand(self.leaf("key", type, column=keys[name]), name)
            else:
                self.row_field(name, rows[name])
        if self.positions:
            self.hand(self.leaf("first_sequence", pa.int64()), FIRST_SEQUENCE)
            self.hand(self.leaf("last_sequence", pa.int64()), LAST_SEQUENCE)
        if not self.leaves:  # without any column the matches could not even be counted
            self.leaf("match", pa.int64())
        after = self.after(late, match_leaf) if late else None
        if ranked:
            self.columns += [(self.leaf(kind, pa.int64()), -1, 0, 0) for kind in ("settled", "turn")]
        results = Results(
            {
                "groups": self.groups(),
                "leaves": self.leaves,
                "output": Output(
                    self.measures.program(),
                    cast(list[int], self.measures.sources),
                    [layout(type) for type in self.types],
                    self.columns,
                    match_leaf,
                ),
                "leaf_names": self.names,
                "computed_names": self.computed,
                "variables": list(plan.positions),
                "excluded": list(plan.excluded) or [False] * len(plan.positions),
                "names": [name.encode() for name in plan.variables],
                "n_keys": len(plan.partition),
                "n_columns": self.n_columns,
                "columns": result_columns(plan),
                "all_rows": plan.rows == "all",
                "omit_empty": plan.rows == "all" and plan.empty == "omit",
            }
        )
        return results, pa.schema(self.fields), after

    def measure(self, measure: Measure, late: list[Measure]) -> None:
        node = measure.node
        if node.op == "leaf":
            number = cast(int, node.attr)
            if number not in self.handed:
                self.hand(number, measure.name)
                return
            if kernel_kind(node.type) is None:  # the kernel cannot copy it: it is read a second time
                again = self.plan_leaf(self.plan.leaves[number], measure.name)
                self.hand(again, measure.name)
                return
        if needs_library(node):
            late.append(measure)
        else:
            self.compute(measure)

    def after(self, late: list[Measure], match_leaf: int) -> After:
        """What computes the measures `late` from the leaves, which become further columns of the batch."""
        # Only here: a program without such measures never loads the library.
        from tocsin.compile.late import LateMeasures

        shown = {field.name: place for place, field in enumerate(self.fields)}
        types = {field.name: field.type for field in self.fields} | {
            m.name: result_type(m.node.type) for m in late
        }
        names = [*self.plan.output_schema.names, *([FIRST_SEQUENCE, LAST_SEQUENCE] if self.positions else [])]
        for measure in late:
            for node in _nodes(measure.node):
                if node.op == "leaf" and node.attr not in self.handed:
                    self.hand(cast(int, node.attr), self.hidden_name())
        match = self.hand(match_leaf, self.hidden_name()) if match_leaf >= 0 else -1
        return LateMeasures(
            pa.schema([(name, types[name]) for name in names]),
            [shown.get(name, -1) for name in names],
            [measure.node for measure in late],
            dict(self.handed),
            match,
        )

    def hidden_name(self) -> str:
        taken = {*self.plan.output_schema.names, *(field.name for field in self.fields)}
        return next(name for i in count() if (name := f"_leaf_{i}") not in taken)
