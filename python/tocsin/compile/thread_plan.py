"""From a plan to the matcher that steps threads (classes (c) and (d)): what is kept of rows, and what threads capture.

A definition's rest reads values of the row in question and leaves of the match so far. Leaves of one kind over the same
variables share a *capture*: the first or the last few rows, or an aggregate half way. At each position of the automaton
it is known beforehand which captures can still be read from there on (`live`); the others are emptied, so that threads
that can no longer be told apart become one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pyarrow as pa

from tocsin.compile.execution import is_computed_text
from tocsin.compile.exits import described, find_exits
from tocsin.compile.fingerprint import fingerprint
from tocsin.compile.ir import CLASSIFIER, MATCH_NUMBER, Leaf, Node, kernel_kind, value_type
from tocsin.compile.plan import Plan
from tocsin.compile.program import ProgramBuilder, make_conditions, type_number
from tocsin.compile.results import After, layout, make_results, result_columns, result_type
from tocsin.compile.trees import conjuncts, walk
from tocsin.errors import PatternError
from tocsin_core.aggregate import AGGREGATES
from tocsin_core.captures import CAPTURES, LABEL, LIST, NUMBER, SOURCES, Definitions
from tocsin_core.expression import TYPES
from tocsin_core.schema import Schema
from tocsin_core.thread_matcher import SKIPS, ThreadMatcher

CAPTURES_MAX = 64

Source = tuple[int, int, int, int, int, int, bool]


def thread_matcher(
    plan: Plan,
    *,
    positions: bool = False,
    traced: bool = False,
    max_steps: int = 0,
    ranked: bool = False,
) -> tuple[ThreadMatcher, pa.Schema, After | None]:
    """The operator of any plan.

    Args:
        plan: from compile_clause.
        positions: as in assemble.
        traced: class (d): definitions walk the trace instead of reading registers, and no two threads become one.
        max_steps: of one attempt; 0: no limit.
        ranked: as in make_results.

    Returns:
        The operator, the schema of its matches, and what computes the measures that a library has to compute, or None.

    Raises:
        PatternError: the plan has what no class can run.
    """
    columns = history_columns(plan)
    captures = _Captures(plan, columns)
    rests = [captures.rest(node) for node in plan.rests]
    if len(captures.captures) > CAPTURES_MAX and not traced:
        raise PatternError(
            f"DEFINE reads {len(captures.captures)} different sets of rows and aggregates of the match; at most "
            f"{CAPTURES_MAX} can be kept"
        )
    results, output_schema, after = make_results(plan, positions, columns, ranked)
    every = traced or results.every
    recorded = results.recorded | plan.skip_variables
    exits = find_exits(plan, captures.unread(0 if every else recorded, every))
    definitions = Definitions(
        rests,
        [captures.rest(node, key=True) for node in exits.keys],
        captures.captures,
        captures.operands,
        captures.operand_program(),
        [name.encode() for name in plan.variables],
        [type_number(plan.schema.field(c).type) for c in columns],
        traced,
    )
    live = captures.live() if definitions.n_words else [0] * len(plan.positions)
    numbered_rests = any(_reads_number(leaf) for leaf in plan.define_leaves)
    keys = plan.partition
    operator = ThreadMatcher(
        {
            "input": Schema.from_arrow(plan.schema),
            "output": Schema.from_arrow(output_schema),
            "conditions": make_conditions(plan.conditions),
            "make_conditions": lambda: make_conditions(plan.conditions),
            "definitions": definitions,
            "results": results,
            "make_results": lambda: make_results(plan, positions, columns, ranked)[0],
            "positions": list(plan.positions),
            "condition_of": list(plan.condition_of),
            "rest_of": list(plan.rest_of),
            "first": plan.first,
            "first_at_start": plan.first_at_start,
            "follow": plan.follow,
            "recorded": [every or bool((recorded >> v) & 1) for v in plan.positions],
            "live": live,
            "history": [(c, *history_layout(plan.schema.field(c).type)) for c in columns],
            "exits": {
                p: [(*e[:5], columns.index(e[5]) if e[5] >= 0 else -1, *e[6:]) for e in ways]
                for p, ways in exits.exits.items()
            },
            "chains": [(columns.index(c), type_) for c, type_ in exits.chains],
            "trees": [(columns.index(c) if c >= 0 else c, type_) for c, type_ in exits.trees],
            "keys": list(keys),
            "single": len(keys) == 1 and kernel_kind(plan.schema.field(keys[0]).type) not in (None, "str"),
            "order": [
                (c, type_number(plan.schema.field(c).type), down, first) for c, down, first in plan.order
            ],
            "timed": plan.time is not None,
            "within": plan.within,
            "skip": SKIPS[plan.skip],
            "skip_variables": plan.skip_variables,
            "eager": plan.skip == "next" and plan.empty != "unmatched" and not numbered_rests,
            "numbered": any(_reads_number(leaf) for leaf in plan.leaves),
            "unmatched": plan.empty == "unmatched",
            "ranked": ranked,
            "max_steps": max_steps,
            "condition_names": plan.condition_names,
            "rest_names": plan.rest_names,
            "skip_name": _skip_name(plan),
            "fingerprint": fingerprint(plan, output_schema, "threads", traced, max_steps),
        }
    )
    return operator, output_schema, after


def waits(plan: Plan) -> dict[str, list[str]]:
    """Where threads of the plan wait instead of being stepped, and for what, in words (class (c))."""
    columns = history_columns(plan)
    captures = _Captures(plan, columns)
    for node in plan.rests:
        captures.rest(node)
    results = make_results(plan, False, columns)[0]
    unread = captures.unread(results.recorded | plan.skip_variables, results.every)
    return described(find_exits(plan, unread), plan)


def history_columns(plan: Plan) -> list[int]:
    """The columns of the plan's schema that are kept of a row: what measures, definitions and ALL ROWS read."""
    found = dict.fromkeys(result_columns(plan))
    for node in plan.rests:
        found.update(dict.fromkeys(_columns(node)))
    for leaf in plan.define_leaves:
        if leaf.column >= 0:
            found[leaf.column] = None
        for argument in leaf.arguments:
            found.update(dict.fromkeys(_columns(argument)))
    return list(found)


def history_layout(type: pa.DataType) -> tuple[int, int]:
    """(Kind, width) in which the History keeps values of a column's type: decoded, but not widened."""
    type = value_type(type)
    return layout(type if pa.types.is_float16(type) or pa.types.is_null(type) else result_type(type))


def _columns(node: Node) -> Iterator[int]:
    for part in walk(node):
        if part.op == "column" and cast(tuple[int, int], part.attr)[0] >= 0:
            yield cast(tuple[int, int], part.attr)[0]


def _reads_number(leaf: Leaf) -> bool:
    return (
        leaf.kind == "match_number"
        or leaf.column == MATCH_NUMBER
        or any(
            part.op == "column" and cast(tuple[int, int], part.attr)[0] == MATCH_NUMBER
            for argument in leaf.arguments
            for part in walk(argument)
        )
    )


def _skip_name(plan: Plan) -> str:
    names = [name for v, name in enumerate(plan.variables) if (plan.skip_variables >> v) & 1]
    return f"{plan.skip.upper()} {' or '.join(names)}"


class _Captures:
    """Gathers what the rests of a plan read, as sources of their programs and captures of threads."""

    def __init__(self, plan: Plan, columns: list[int]) -> None:
        self.plan = plan
        self.place = {column: i for i, column in enumerate(columns)}
        self.captures: list[tuple[int, int, int, int, int, int]] = []
        self.operands: list[tuple[int, int, int]] = []
        self.number: dict[object, int] = {}
        self.reads: list[int] = []  # per rest: a mask of captures
        self.builder = ProgramBuilder()
        self.everything = (1 << len(plan.variables)) - 1

    def unread(self, recorded: int, every: bool) -> list[bool]:
        """Per position: whether its rows are neither recorded nor captured."""
        if every:
            return [False] * len(self.plan.positions)
        for _, _, variables, *_ in self.captures:
            recorded |= variables
        return [not (recorded >> v) & 1 for v in self.plan.positions]

    def rest(self, node: Node, *, key: bool = False) -> tuple[object, list[Source]]:
        """The program of a rest (or of a key that threads search for) and its sources."""
        builder = ProgramBuilder()
        for part in [node] if key else conjuncts(node):
            builder.add(part)
        reads = 0
        sources: list[Source] = []
        for attr, type_ in zip(builder.sources, builder.inputs, strict=True):
            if isinstance(attr, tuple):
                column, lag = attr
                sources.append((SOURCES["row"], -1, 0, -lag, self.place[column], type_, True))
                continue
            source = self._source(self.plan.define_leaves[cast(int, attr)], type_)
            if source[1] >= 0:
                reads |= 1 << source[1]
            sources.append(source)
        if not key:
            self.reads.append(reads)
        return builder.program(), sources

    def _source(self, leaf: Leaf, type_: int) -> Source:
        if leaf.kind == "match_number":
            return (SOURCES["number"], -1, 0, 0, -1, type_, False)
        variables = leaf.variables & self.everything
        if leaf.kind in ("first", "last", "classifier"):
            kind = "first" if leaf.kind == "first" else "last"
            number = self._capture((kind, variables))
            entry = list(self.captures[number])
            entry[1] = max(entry[1], leaf.offset + 1)
            self.captures[number] = cast("tuple[int, int, int, int, int, int]", tuple(entry))
            named = leaf.kind == "classifier" or leaf.column == CLASSIFIER
            column = LABEL if named else self.place[leaf.column]
            return (SOURCES[kind], number, leaf.offset, leaf.physical, column, type_, leaf.current)
        function = leaf.kind
        if function == "sum" and kernel_kind(leaf.type) == "f64":
            function = "sum_real"
        nodes = leaf.arguments
        if function == "count" and is_computed_text(nodes[0] if nodes else None):
            # Only whether it is there matters, and that any register holds.
            function, nodes = "count_if", (Node("is_not_null", pa.bool_(), nodes),)
        arguments = [self._operand(node) for node in nodes]
        if not arguments and leaf.kind != "count_rows":
            arguments = [self._column_operand(leaf.column)]
        arguments += [-1] * (2 - len(arguments))
        number_of = LIST if function == "array_agg" else AGGREGATES[function]
        number = self._capture(("aggregate", variables, number_of, *arguments))
        return (SOURCES["aggregate"], number, 0, 0, -1, type_, leaf.current)

    def _capture(self, key: tuple) -> int:  # type: ignore[type-arg]
        number = self.number.setdefault(key, len(self.captures))
        if number == len(self.captures):
            kind, variables, *rest = key
            function, argument, by = rest or (0, -1, -1)
            self.captures.append((CAPTURES[kind], 1, variables, function, argument, by))
        return number

    def _column_operand(self, column: int) -> int:
        return self._add_operand(("column", column), (*self._column(column), -1))

    def _column(self, column: int) -> tuple[int, int]:
        """Where the operands find a column, and its register type."""
        if column == CLASSIFIER:
            return LABEL, TYPES["str"]
        if column == MATCH_NUMBER:
            return NUMBER, TYPES["i64"]
        return self.place[column], type_number(self.plan.schema.field(column).type)

    def _operand(self, node: Node) -> int:
        if node.op == "column":
            return self._column_operand(cast(tuple[int, int], node.attr)[0])
        return self._add_operand(("node", id(node)), (-1, type_number(node.type), self.builder.add(node)))

    def _add_operand(self, key: object, entry: tuple[int, int, int]) -> int:
        number = self.number.setdefault(key, len(self.operands))
        if number == len(self.operands):
            self.operands.append(entry)
        return number

    def operand_program(self) -> tuple[object, list[tuple[int, int]]] | None:
        """The program of arguments that are more than a column, and the columns of the History that it reads."""
        if not self.builder.results:
            return None
        sources = [self._column(cast(tuple[int, int], source)[0]) for source in self.builder.sources]
        return self.builder.program(), sources

    def live(self) -> list[int]:
        """Per position: captures that a definition may still read of a thread that stands there.

        Backwards over the automaton until nothing changes: what the definitions of the next positions read, and
        what is live behind them, unless taking that step overwrites it (LAST of one row).
        """
        plan = self.plan
        overwritten = [0] * len(plan.variables)
        for number, (kind, count, variables, *_) in enumerate(self.captures):
            if kind == CAPTURES["last"] and count == 1:
                for v in range(len(plan.variables)):
                    if (variables >> v) & 1:
                        overwritten[v] |= 1 << number
        reads = [self.reads[rest] if rest >= 0 else 0 for rest in plan.rest_of]
        before = [0] * len(plan.positions)  # live before the step into a position
        live = [0] * len(plan.positions)
        origins: list[list[int]] = [[] for _ in plan.positions]
        for p, after in enumerate(plan.follow):
            for q in after:
                if q >= 0:
                    origins[q].append(p)
        todo = list(range(len(plan.positions)))
        waiting = [True] * len(plan.positions)
        while todo:
            p = todo.pop()
            waiting[p] = False
            for q in plan.follow[p]:
                if q >= 0:
                    live[p] |= before[q]
            v = plan.positions[p]
            now = reads[v] | (live[p] & ~overwritten[v])
            if now != before[p]:
                before[p] = now
                for origin in origins[p]:
                    if not waiting[origin]:
                        waiting[origin] = True
                        todo.append(origin)
        return live
