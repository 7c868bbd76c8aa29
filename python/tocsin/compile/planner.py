"""Planner: a clause and a schema -> the Plan, with every name resolved and every rule of the clause checked."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from tocsin.compile.automata import build
from tocsin.compile.ir import Leaf, Node, Nodes, kernel_kind, unit_ns, value_type
from tocsin.compile.plan import Measure, Plan
from tocsin.compile.scope import Columns, Variables
from tocsin.compile.trees import column_of, leaf_of, rebuild, walk
from tocsin.compile.typecheck import TypeCheck
from tocsin.language.expression import Column, Expression
from tocsin.language.render import render
from tocsin.sql.clause import Clause, MeasureItem


def make_plan(clause: Clause, schema: pa.Schema) -> Plan:
    """Checks `clause` against `schema`. Raises PatternError with the place of the first fault."""
    return _Planner(clause, schema).plan()


class _Planner:
    __slots__ = ("check", "clause", "columns", "input", "source", "variables")

    def __init__(self, clause: Clause, schema: pa.Schema) -> None:
        self.clause = clause
        self.input = schema
        self.source = clause.source
        self.columns = Columns(schema, clause.source)
        # The variables come first: a fault in PATTERN or SUBSET is told before those that follow from it.
        self.variables = Variables(clause.pattern, clause.subsets, clause.source)
        self.check = TypeCheck(self.columns, self.variables, clause.rows)

    def plan(self) -> Plan:
        clause, check, names = self.clause, self.check, self.variables.names
        partition = self._partition()
        order = self._order()
        conditions, rests = self._definitions()
        measures = self._measures(partition, order)
        skip_variables = self._skip_variables()
        automaton = build(clause.pattern, {name: i for i, name in enumerate(names)}, self.source)
        schema = check.derivations.schema
        time = None
        if order and not order[0][1]:
            type = schema.field(order[0][0]).type
            if kernel_kind(type) == "i64" and not pa.types.is_dictionary(type):
                time = order[0][0]
        leaves, nodes = _compacted(tuple(check.reads.measured.list), [m.node for m in measures], check.nodes)
        measures = tuple(replace(m, node=node) for m, node in zip(measures, nodes, strict=True))
        define_leaves, rest_nodes = _compacted(
            tuple(check.reads.defined.list), list(rests.nodes), check.nodes
        )
        return Plan(
            schema=schema,
            partition=partition,
            order=order,
            variables=names,
            conditions=tuple(conditions.nodes),
            condition_of=tuple(conditions.of),
            condition_names=tuple(conditions.names),
            positions=automaton.variables,
            first=automaton.first,
            follow=automaton.follow,
            within=self._within(schema, order),
            time=time,
            skip=clause.skip.kind,
            leaves=leaves,
            measures=measures,
            output_schema=self._output_schema(schema, partition, order, measures),
            first_at_start=automaton.first_at_start,
            excluded=automaton.excluded,
            rests=tuple(rest_nodes),
            rest_of=tuple(rests.of),
            rest_names=tuple(rests.names),
            define_leaves=define_leaves,
            skip_variables=skip_variables,
            rows=clause.rows,
            empty=clause.empty,
            derived=tuple(check.derivations.derived),
        )

    # Keys ------------------------------------------------------------------------------------------------

    def _key(self, expression: Expression, where: str) -> int:
        """The number of the column that is a key; one that is more than a column is derived."""
        if isinstance(expression, Column) and expression.variable is None:
            index = self.columns.find(expression)
            name, type = f"'{self.input.field(index).name}'", self.input.field(index).type
        else:
            node = self.check.key(expression, where)
            if where == "ORDER BY" and node.op == "const":
                raise self.source.error(
                    "ORDER BY takes columns and what is computed from them, and this is the same for every row",
                    expression.span,
                )
            name, type = "it", node.type
            if kernel_kind(type) is not None:
                if node.op == "column":  # a cast that changes nothing, for one
                    return column_of(node)[0]
                return self.check.derivations.column(node, render(expression)[0])
            index = -1
        if kernel_kind(type) is None and not (where == "PARTITION BY" and pa.types.is_null(type)):
            raise self.source.error(
                f"{where} a column of type {type} is not supported: convert {name} before the match",
                expression.span,
            )
        return index

    def _partition(self) -> tuple[int, ...]:
        found: list[int] = []
        for expression in self.clause.partition:
            index = self._key(expression, "PARTITION BY")
            if index in found:
                raise self.source.error(f"{_said(expression)} is twice in PARTITION BY", expression.span)
            found.append(index)
        return tuple(found)

    def _order(self) -> tuple[tuple[int, bool, bool], ...]:
        found: list[tuple[int, bool, bool]] = []
        for key in self.clause.order:
            index = self._key(key.expression, "ORDER BY")
            # A column that is there already, in either direction, tells no two rows apart that it has not told.
            if all(index != other for other, _, _ in found):
                found.append((index, key.descending, key.nulls_first))
        return tuple(found)

    # Definitions -----------------------------------------------------------------------------------------

    def _definitions(self) -> tuple[_Numbered, _Numbered]:
        conditions, rests = _Numbered(len(self.variables)), _Numbered(len(self.variables))
        defined: set[int] = set()
        for definition in self.clause.definitions:
            variable = self.variables.defined(definition.variable, definition.span)
            if variable in defined:
                raise self.source.error(f"'{definition.variable}' is defined twice", definition.span)
            defined.add(variable)
            condition, rest = self.check.definition(definition)
            conditions.add(variable, condition, f"DEFINE {definition.variable}")
            rests.add(variable, rest, f"DEFINE {definition.variable}")
        return conditions, rests

    def _skip_variables(self) -> int:
        skip = self.clause.skip
        if skip.variable is None:
            return 0
        if skip.variable not in self.variables:
            raise self.variables.unknown(
                f"AFTER MATCH SKIP TO '{skip.variable}', which is no variable of PATTERN",
                skip.variable,
                skip.span,
            )
        return self.variables.mask(skip.variable, skip.span)

    # Output ----------------------------------------------------------------------------------------------

    def _measures(
        self, partition: tuple[int, ...], order: tuple[tuple[int, bool, bool], ...]
    ) -> tuple[Measure, ...]:
        schema = self.check.derivations.schema
        keys = [schema.field(i).name for i in partition]
        others: list[str] = []
        if self.clause.rows == "all":
            others = [self.input.field(i).name for i in range(len(self.input)) if i not in partition]
        exact = {*keys, *others}
        folded = dict.fromkeys(
            (name.casefold() for name in exact), True
        )  # -> whether all of that name are quoted
        measures: list[Measure] = []
        for item in self.clause.measures:
            fold = item.name.casefold()
            if item.name in exact or (fold in folded and not (item.quoted and folded[fold])):
                raise self._taken(item, keys, others)
            exact.add(item.name)
            folded[fold] = folded.get(fold, True) and item.quoted
            measures.append(Measure(item.name, self.check.measure(item)))
        return tuple(measures)

    def _taken(self, item: MeasureItem, keys: list[str], others: list[str]) -> Exception:
        fold = item.name.casefold()
        among = "another measure"
        if fold in (name.casefold() for name in keys):
            among = "a partition column"
        elif fold in (name.casefold() for name in others):
            among = "a column of the input, which ALL ROWS PER MATCH shows too"
        return self.source.error(f"the measure '{item.name}' has the name of {among}", item.span)

    def _output_schema(
        self,
        schema: pa.Schema,
        partition: tuple[int, ...],
        order: tuple[tuple[int, bool, bool], ...],
        measures: tuple[Measure, ...],
    ) -> pa.Schema:
        """See Plan: derived columns are shown as partition columns only, which have no other name."""

        def shown(columns: list[int]) -> list[pa.Field]:
            return [pa.field(schema.field(i).name, value_type(schema.field(i).type), True) for i in columns]

        keys = list(partition)
        values = [pa.field(m.name, m.node.type, True) for m in measures]
        if self.clause.rows == "one":
            return pa.schema(shown(keys) + values)
        sorted_by = [i for i, _, _ in order if i not in keys and i < len(self.input)]
        others = [i for i in range(len(self.input)) if i not in keys and i not in sorted_by]
        return pa.schema(shown(keys + sorted_by) + values + shown(others))

    def _within(self, schema: pa.Schema, order: tuple[tuple[int, bool, bool], ...]) -> int | None:
        interval = self.clause.within
        if interval is None:
            return None
        if not order:
            raise self.source.error(
                "WITHIN needs ORDER BY a date or time: the interval is measured on it", interval.span
            )
        index, descending, _ = order[0]
        field = schema.field(index)
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


class _Numbered:
    """Conditions, or rests: each distinct one once, and which of them each variable has."""

    def __init__(self, variables: int) -> None:
        self.nodes: list[Node] = []
        self.names: list[str] = []
        self.of = [-1] * variables
        self._numbers: dict[int, int] = {}  # by identity, which is equality here

    def add(self, variable: int, node: Node | None, name: str) -> None:
        if node is None:
            return
        number = self._numbers.setdefault(id(node), len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
            self.names.append(name)
        self.of[variable] = number


def _compacted(
    leaves: tuple[Leaf, ...], roots: list[Node], nodes: Nodes
) -> tuple[tuple[Leaf, ...], list[Node]]:
    """Without the leaves that nothing reads: they were folded away, or a derived column took their place."""
    used = sorted({leaf_of(part) for part in walk(*roots) if part.op == "leaf"})
    if len(used) == len(leaves):
        return leaves, roots
    numbers = {old: new for new, old in enumerate(used)}

    def renumbered(part: Node) -> Node | None:
        if part.op != "leaf":
            return None
        return nodes.make("leaf", part.type, (), numbers[leaf_of(part)], part.span)

    return tuple(leaves[i] for i in used), [rebuild(root, nodes, renumbered) for root in roots]


def _said(expression: Expression) -> str:
    if isinstance(expression, Column):
        return f"the column '{expression.name}'"
    return f"'{render(expression)[0]}'"
