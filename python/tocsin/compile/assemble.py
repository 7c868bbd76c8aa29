"""From a plan to an operator of the core: what is kept of a row, where each leaf reads, and the output's columns.

A leaf reads in one of three places, the cheapest that gives its value:

    start   the match's first row, if the variable is surely there (every match begins with it)
    end     the match's last row, likewise
    rows    the labelled rows of the match: the matcher then keeps a record per row of the open attempts
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast

import pyarrow as pa

from tocsin.compile.clauses import compile_clause, compile_condition
from tocsin.compile.ir import Leaf, Node, is_binary, is_text, kernel_kind, unit_ns, value_type
from tocsin.compile.plan import Plan
from tocsin.compile.program import ProgramBuilder, make_conditions, type_number
from tocsin.errors import PatternError
from tocsin.language.expression import Expression
from tocsin.sql.clause import Clause, is_clause
from tocsin_core.automaton import Automaton
from tocsin_core.expression import TYPES
from tocsin_core.matcher import LEAVES, PatternMatcher
from tocsin_core.operator import Operator
from tocsin_core.output import Output
from tocsin_core.rowfilter import RowFilter
from tocsin_core.schema import Schema

ALL = (1 << 64) - 1
MATCH = -1
KINDS_MAX = 64  # columns whose values may be kept (one NULL bit each)

# Names of the two columns that say where in the stream a match lies (`positions=True`).
FIRST_SEQUENCE, LAST_SEQUENCE = "_first_sequence", "_last_sequence"


@dataclass(frozen=True, slots=True)
class Sites:
    """What the shape of the pattern says about a match's first and last row: bit masks of variables."""

    first: int  # variables that the first row can be
    last: int  # variables that the last row can be
    only_first: int  # variables that no later row can be
    only_last: int  # variables that no earlier row can be

    @staticmethod
    def of(plan: Plan) -> Sites:
        first = last = later = earlier = 0
        for position in plan.first:
            if position != MATCH:
                first |= 1 << plan.positions[position]
        for position, after in enumerate(plan.follow):
            bit = 1 << plan.positions[position]
            if MATCH in after:
                last |= bit
            if any(target != MATCH for target in after):
                earlier |= bit
            for target in after:
                if target != MATCH:
                    later |= 1 << plan.positions[target]
        return Sites(first, last, first & ~later, last & ~earlier)

    def place(self, leaf: Leaf, n_variables: int) -> str:
        variables = leaf.variables & ((1 << n_variables) - 1)
        if leaf.kind not in ("first", "last") or leaf.offset:
            return "rows"
        begins = self.first & ~variables == 0  # the first row is surely one of them
        ends = self.last & ~variables == 0
        if begins and (leaf.kind == "first" or variables & ~self.only_first == 0):
            return "start"
        if ends and (leaf.kind == "last" or variables & ~self.only_last == 0):
            return "end"
        return "rows"


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


def result_type(type: pa.DataType) -> pa.DataType:
    """The type in which the core writes values of `type`: text in the plain layout, half floats as float32."""
    type = value_type(type)
    if is_text(type):
        return pa.string()
    if is_binary(type):
        return pa.binary()
    return pa.float32() if pa.types.is_float16(type) else type


def _layouts(types: list[pa.DataType]) -> list[tuple[int, int]]:
    """(Kind, width) of output columns of these types."""
    fields = [pa.field(str(i), type) for i, type in enumerate(types)]
    return [(kind, 0) for kind in Schema.from_arrow(pa.schema(fields)).kinds]


@dataclass(frozen=True, slots=True)
class Assembled:
    """An operator with what its users must know of it. `plan` is None for a condition."""

    operator: Operator
    schema: pa.Schema
    output_schema: pa.Schema
    plan: Plan | None
    condition: Node | None


def assemble(plan: Plan, *, positions: bool = False, groups_only: bool = False) -> Assembled:
    """The operator of a row pattern.

    Args:
        plan: from compile_clause.
        positions: whether the output ends with the columns _first_sequence and _last_sequence (int64), the
            stream's sequence of the match's first and last row; the latter is NULL for an empty match.
        groups_only: leave out the quicker of the two ways in which attempts are stepped, to test one by the other.
    """
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
    labelled = "rows" in places.values()
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
        columns += [(len(leaves) - 2, -1, 0, 0), (len(leaves) - 1, -1, 0, 0)]
        fields += [pa.field(FIRST_SEQUENCE, pa.int64()), pa.field(LAST_SEQUENCE, pa.int64())]
    output_schema = pa.schema(fields)

    def make_result() -> Output:
        return Output(builder.program(), cast(list[int], builder.sources), layouts, columns)

    if plan.within is not None and plan.time is None:
        raise AssertionError("a plan with WITHIN has a time")
    single = len(plan.partition) == 1 and kernel_kind(schema.field(plan.partition[0]).type) not in (
        None,
        "str",
    )
    mark = repr((plan, schema.remove_metadata().to_string(), output_schema.to_string()))
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
            "fingerprint": hashlib.blake2b(mark.encode(), digest_size=16).digest(),
            "condition_names": plan.condition_names,
            "computed_names": computed,
        }
    )
    return Assembled(operator, schema, output_schema, plan, None)


def assemble_condition(condition: Node, schema: pa.Schema) -> Assembled:
    """The operator of a condition: passes on the rows for which it is true, all columns as they come."""
    for field in schema:
        if pa.types.is_nested(field.type) and not pa.types.is_dictionary(field.type):
            raise PatternError(
                f"a condition passes whole rows on, and column '{field.name}' of type {field.type} cannot be "
                "copied row by row yet: leave it out of the stream's schema"
            )
    operator = RowFilter(Schema.from_arrow(schema), make_conditions((condition,)))
    return Assembled(operator, schema, schema, None, condition)


def build(definition: str | Clause | Expression, schema: pa.Schema, *, positions: bool = False) -> Assembled:
    """The operator of a trigger's definition: the text of a clause or of a condition, or a Python expression."""
    if isinstance(definition, Clause) or (isinstance(definition, str) and is_clause(definition)):
        return assemble(compile_clause(definition, schema), positions=positions)
    if not isinstance(definition, (str, Expression)):
        raise TypeError(
            f"a trigger waits for a clause (text with PATTERN), a condition (text, or an expression made with col), "
            f"not for a {type(definition).__name__}"
        )
    return assemble_condition(compile_condition(definition, schema), schema)


__all__ = ["Assembled", "Sites", "assemble", "assemble_condition", "build", "unit_ns"]
