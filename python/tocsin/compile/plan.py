"""Plan: a whole clause after the type check, ready for the kernel; and how it is made from the clause.

The plan is immutable and holds no expression of the text: names have become column indices and variable
numbers, types are Arrow's. Variables are numbered in the order in which PATTERN first names them; a set of
variables is a bit mask over these numbers. `ALL` (every bit set) is the whole match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Choice

import pyarrow as pa

from tocsin.compile.automata import build
from tocsin.compile.ir import Leaf, Node, kernel_kind, unit_ns, value_type
from tocsin.compile.scope import Columns
from tocsin.compile.typecheck import TypeCheck
from tocsin.language.expression import Column
from tocsin.language.pattern import variables as variables_of
from tocsin.language.source import listed, nearest
from tocsin.sql.clause import Clause

VARIABLES_MAX = 64  # a row's conditions and a leaf's variables are one 64-bit mask


@dataclass(frozen=True, slots=True)
class Measure:
    """One output column: its name and what computes it from the leaves."""

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class Derived:
    """A column that a library computes of each batch before the match: `node` has "call" and no "leaf" in it."""

    name: str
    node: Node


@dataclass(frozen=True, slots=True)
class Plan:
    """Shapes: `condition_of` and `rest_of` have one entry per variable (-1: none), `positions`, `follow` and
    `excluded` one per position of the automaton, `condition_names` and `rest_names` one per condition (for
    messages: "DEFINE PROBE").

    `schema` is that of the events and then of the columns of `derived`; all column numbers are of it.

    A variable's definition is the AND of two parts, either of which may be missing: its *condition* reads its row
    and rows before it at fixed distances (PREV) and is computed for whole batches; its *rest* reads the match
    so far (`define_leaves`) or rows that come after it (NEXT). Only a pattern without rests is row-local.

    `first` are the positions that a match can begin with, `first_at_start` those at the first row of a partition (^).
    In a list MATCH (-1) means that the match may end here, MATCH_AT_END (-2) that it may if the partition ends here
    too ($). `excluded`: inside {- -}.

    `order` is (column, descending, nulls first); `time` the first ORDER BY column if it ascends and is a
    whole number, date, time, timestamp or duration; `within` is in the unit of that column: a row belongs to
    a match while its time - the first row's time < `within`. `skip_variables` (a mask): of SKIP TO FIRST, TO LAST.
    `output_schema`: the partition columns, then the measures; with `rows` "all" the partition columns, the ORDER BY
    columns, the measures, and all other columns of the input.
    """

    schema: pa.Schema
    partition: tuple[int, ...]
    order: tuple[tuple[int, bool, bool], ...]
    variables: tuple[str, ...]
    conditions: tuple[Node, ...]
    condition_of: tuple[int, ...]
    condition_names: tuple[str, ...]
    positions: tuple[int, ...]
    first: tuple[int, ...]
    follow: tuple[tuple[int, ...], ...]
    within: int | None
    time: int | None
    skip: Choice["past_last", "next", "first", "last"]
    leaves: tuple[Leaf, ...]
    measures: tuple[Measure, ...]
    output_schema: pa.Schema
    first_at_start: tuple[int, ...] = ()
    excluded: tuple[bool, ...] = ()
    rests: tuple[Node, ...] = ()
    rest_of: tuple[int, ...] = ()
    rest_names: tuple[str, ...] = ()
    define_leaves: tuple[Leaf, ...] = ()
    skip_variables: int = 0
    rows: Choice["one", "all"] = "one"
    empty: Choice["show", "omit", "unmatched"] = "show"
    derived: tuple[Derived, ...] = ()


def make_plan(clause: Clause, schema: pa.Schema) -> Plan:
    """Checks `clause` against `schema`. Raises PatternError with the place of the first fault."""
    return _Planner(clause, schema).plan()


class _Planner:
    __slots__ = ("clause", "columns", "schema", "source")

    def __init__(self, clause: Clause, schema: pa.Schema) -> None:
        self.clause = clause
        self.schema = schema
        self.source = clause.source
        self.columns = Columns(schema, clause.source)

    def plan(self) -> Plan:
        clause = self.clause
        partition = self._partition()
        order = self._order()
        variables = self._variables()
        check = TypeCheck(self.columns, variables)
        conditions, condition_of, names = self._conditions(check, variables)
        measures = self._measures(check, partition)
        automaton = build(clause.pattern, {name: i for i, name in enumerate(variables)}, self.source)
        time = None
        if order and not order[0][1]:
            type = self.schema.field(order[0][0]).type
            if kernel_kind(type) == "i64" and not pa.types.is_dictionary(type):
                time = order[0][0]
        fields = [
            pa.field(self.schema.field(i).name, value_type(self.schema.field(i).type), True)
            for i in partition
        ] + [pa.field(m.name, m.node.type, True) for m in measures]
        return Plan(
            schema=self.schema,
            partition=partition,
            order=order,
            variables=variables,
            conditions=conditions,
            condition_of=condition_of,
            condition_names=names,
            positions=automaton.variables,
            first=automaton.first,
            follow=automaton.follow,
            within=self._within(order),
            time=time,
            skip="next" if clause.skip.kind == "next" else "past_last",
            leaves=tuple(check.leaves),
            measures=measures,
            output_schema=pa.schema(fields),
        )

    def _key_column(self, column: Column, where: str) -> int:
        index = self.columns.find(column)
        field = self.schema.field(index)
        if kernel_kind(field.type) is None and not (where == "PARTITION BY" and pa.types.is_null(field.type)):
            raise self.source.error(
                f"{where} a column of type {field.type} is not supported: convert '{field.name}' before the "
                "match",
                column.span,
            )
        return index

    def _partition(self) -> tuple[int, ...]:
        found: list[int] = []
        for column in self.clause.partition:
            assert isinstance(column, Column)
            index = self._key_column(column, "PARTITION BY")
            if index in found:
                raise self.source.error(f"the column '{column.name}' is twice in PARTITION BY", column.span)
            found.append(index)
        return tuple(found)

    def _order(self) -> tuple[tuple[int, bool, bool], ...]:
        found: list[tuple[int, bool, bool]] = []
        for key in self.clause.order:
            assert isinstance(key.expression, Column)
            index = self._key_column(key.expression, "ORDER BY")
            if any(index == other for other, _, _ in found):
                raise self.source.error(
                    f"the column '{key.expression.name}' is twice in ORDER BY", key.expression.span
                )
            found.append((index, key.descending, key.nulls_first))
        return tuple(found)

    def _variables(self) -> tuple[str, ...]:
        spans: dict[str, tuple[int, int]] = {}
        for variable in variables_of(self.clause.pattern):
            spans.setdefault(variable.name, variable.span)
        if not spans:
            raise self.source.error(
                "PATTERN is empty: it needs at least one variable", self.clause.pattern_span
            )
        if len(spans) > VARIABLES_MAX:
            name = list(spans)[VARIABLES_MAX]
            raise self.source.error(
                f"PATTERN has more than {VARIABLES_MAX} different variables; '{name}' is one too many",
                spans[name],
            )
        return tuple(spans)

    def _conditions(
        self, check: TypeCheck, variables: tuple[str, ...]
    ) -> tuple[tuple[Node, ...], tuple[int, ...], tuple[str, ...]]:
        numbers: dict[int, int] = {}  # identity of a condition -> its number: equal ones are one object
        conditions: list[Node] = []
        names: list[str] = []
        condition_of = [-1] * len(variables)
        defined: set[str] = set()
        for definition in self.clause.definitions:
            name = definition.variable
            if name not in variables:
                guess = nearest(name, list(variables))
                meant = f"did you mean '{guess}'? " if guess else ""
                raise self.source.error(
                    f"DEFINE of '{name}', which is not in PATTERN: {meant}Its variables are "
                    f"{listed(list(variables))}",
                    definition.span,
                )
            if name in defined:
                raise self.source.error(f"'{name}' is defined twice", definition.span)
            defined.add(name)
            node = check.definition(definition)
            if node.op == "const" and node.attr is True:
                continue
            number = numbers.setdefault(id(node), len(conditions))
            if number == len(conditions):
                conditions.append(node)
                names.append(f"DEFINE {name}")
            condition_of[variables.index(name)] = number
        return tuple(conditions), tuple(condition_of), tuple(names)

    def _measures(self, check: TypeCheck, partition: tuple[int, ...]) -> tuple[Measure, ...]:
        keys = [self.schema.field(i).name for i in partition]
        exact = set(keys)
        folded = dict.fromkeys(
            (name.casefold() for name in keys), True
        )  # -> whether all of that name are quoted
        measures: list[Measure] = []
        for item in self.clause.measures:
            fold = item.name.casefold()
            if item.name in exact or (fold in folded and not (item.quoted and folded[fold])):
                among = "a partition column" if fold in (k.casefold() for k in keys) else "another measure"
                raise self.source.error(f"the measure '{item.name}' has the name of {among}", item.span)
            exact.add(item.name)
            folded[fold] = folded.get(fold, True) and item.quoted
            measures.append(Measure(item.name, check.measure(item)))
        return tuple(measures)

    def _within(self, order: tuple[tuple[int, bool, bool], ...]) -> int | None:
        interval = self.clause.within
        if interval is None:
            return None
        if not order:
            raise self.source.error(
                "WITHIN needs ORDER BY a date or time: the interval is measured on it", interval.span
            )
        index, descending, _ = order[0]
        field = self.schema.field(index)
        unit = unit_ns(field.type)
        if unit is None:
            raise self.source.error(
                f"WITHIN needs ORDER BY a date or time, and '{field.name}' is {field.type}", interval.span
            )
        if descending:
            raise self.source.error(
                f"WITHIN needs an ascending ORDER BY, and '{field.name}' descends", interval.span
            )
        # difference < interval, in whole units: the same as difference < the interval rounded up.
        return -(-int(interval.value) // unit)
