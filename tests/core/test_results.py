"""Results: what finished matches become, against a plain evaluation in Python."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_support import compiled

from tocsin.compile.ir import CLASSIFIER, MATCH_NUMBER, Leaf, Node
from tocsin.compile.plan import Measure, Plan
from tocsin.compile.results import ALL, layout, make_results, result_columns, result_type
from tocsin.compile.sites import Sites
from tocsin.errors import EvaluationError, PatternError
from tocsin_core.batch import Batch
from tocsin_core.schema import Schema

FOUND, EMPTY, UNMATCHED = 0, 1, 2
NAMES = ("A", "B", "C")
SCHEMA = pa.schema(
    [
        ("k", pa.string()),
        ("i", pa.int64()),
        ("x", pa.float64()),
        ("s", pa.dictionary(pa.int8(), pa.large_string())),
        ("b", pa.bool_()),
        ("d", pa.date32()),
        ("u", pa.uint64()),
        ("h", pa.float32()),
        ("m", pa.decimal128(9, 2)),
        ("n", pa.null()),
        ("t", pa.timestamp("ms", "UTC")),
        ("w", pa.int16()),
    ]
)
COLUMN = {name: i for i, name in enumerate(SCHEMA.names)}
TYPE = {f.name: pa.string() if f.name == "s" else f.type for f in SCHEMA}
EPOCH = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
Row = dict[str, Any]


@dataclass
class Match:
    kind: int
    partition: int
    number: int
    rows: list[int]  # all of the match; of an empty match or an unmatched row the row where it stands
    labels: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


# ------------------------------------------------------------------ the plain evaluation


def sort_key(value: Any) -> Any:
    if isinstance(value, float):
        return (math.isnan(value), value)
    return value.encode() if isinstance(value, str) else value


def aggregate(kind: str, values: list[Any], keys: list[Any], real: bool) -> Any:
    some = [v for v in values if v is not None]
    if kind == "count":
        return len(some)
    if kind == "array_agg":
        return values or None
    if kind in ("min_by", "max_by"):
        pairs = [(v, sort_key(k)) for v, k in zip(values, keys, strict=True) if k is not None]
        return (min if kind == "min_by" else max)(pairs, key=lambda p: p[1])[0] if pairs else None
    if not some:
        return None
    if kind == "sum":
        return math.fsum(some) if real else sum(some)
    if kind == "avg":
        return sum(some) / len(some)
    if kind in ("min", "max"):
        return (min if kind == "min" else max)(some, key=sort_key)
    if kind == "any_value":
        return some[0]
    if kind in ("bool_and", "bool_or"):
        return all(some) if kind == "bool_and" else any(some)
    if kind in ("var_samp", "stddev_samp") and len(some) < 2:
        return None
    numbers = [float(v) for v in some]
    if any(map(math.isnan, numbers)):
        return math.nan
    function = {
        "var_samp": statistics.variance,
        "var_pop": statistics.pvariance,
        "stddev_samp": statistics.stdev,
        "stddev_pop": statistics.pstdev,
    }[kind]
    return function(numbers)


class Plain:
    """The rows with their partitions, and what a leaf says of a match of them."""

    def __init__(self, rows: list[Row], plan: Plan) -> None:
        self.rows = rows
        self.plan = plan
        self.groups: dict[Any, list[int]] = {}
        for i, row in enumerate(rows):
            self.groups.setdefault(row["k"], []).append(i)

    def walk(self, row: int, physical: int) -> int | None:
        group = self.groups[self.rows[row]["k"]]
        at = group.index(row) + physical
        return group[at] if 0 <= at < len(group) else None

    def of(self, match: Match, column: int, at: int, physical: int) -> Any:
        row = self.walk(match.rows[at], physical)
        if row is None:
            return None
        if column == CLASSIFIER:
            return NAMES[match.labels[match.rows.index(row)]] if row in match.rows else None
        return self.rows[row][SCHEMA.names[column]]

    def argument(self, match: Match, node: Node, at: int) -> Any:
        """Sums of a column and a constant, in a row."""
        if node.op == "const":
            return node.attr
        if node.op == "column":
            column = node.attr[0]  # type: ignore[index]
            if column == MATCH_NUMBER:
                return match.number
            return self.of(match, column, at, 0)
        left, right = (self.argument(match, a, at) for a in node.args)
        return None if left is None or right is None else left + right

    def leaf(self, leaf: Leaf, match: Match, until: int) -> Any:
        if match.kind == UNMATCHED:
            return None
        if leaf.kind == "match_number":
            return match.number
        n = 0 if match.kind == EMPTY else len(match.rows) if leaf.final else until + 1
        of = [i for i in range(n) if leaf.variables >> match.labels[i] & 1]
        if leaf.kind == "count_rows":
            return len(of)
        if leaf.kind in ("first", "last", "classifier"):
            if leaf.offset >= len(of):
                return None
            at = of[leaf.offset] if leaf.kind == "first" else of[-1 - leaf.offset]
            column = CLASSIFIER if leaf.kind == "classifier" else leaf.column
            return self.of(match, column, at, leaf.physical)
        nodes = leaf.arguments or (Node("column", pa.int64(), (), (leaf.column, 0)),)
        values = [[self.argument(match, node, i) for i in of] for node in nodes]
        return aggregate(leaf.kind, values[0], values[-1], pa.types.is_floating(leaf.type))

    def output(self, matches: list[Match]) -> list[Row]:
        found = []
        for match in matches:
            shown = [match.rows[0]]
            if match.kind == FOUND and self.plan.rows == "all":
                shown = [
                    r for r, p in zip(match.rows, match.positions, strict=True) if not self.plan.excluded[p]
                ]
            if match.kind == EMPTY and self.plan.rows == "all" and self.plan.empty == "omit":
                continue
            for row in shown:
                until = match.rows.index(row) if self.plan.rows == "all" else len(match.rows) - 1
                out = {"k": self.rows[row]["k"]}
                for measure in self.plan.measures:
                    assert measure.node.op == "leaf"
                    leaf = self.plan.leaves[measure.node.attr]  # type: ignore[call-overload]
                    out[measure.name] = self.leaf(leaf, match, until)
                if self.plan.rows == "all":
                    out |= {name: self.rows[row][name] for name in SCHEMA.names[1:]}
                out["_first_sequence"] = match.rows[0]
                out["_last_sequence"] = None if match.kind == EMPTY else match.rows[-1]
                found.append(out)
        return found


# ------------------------------------------------------------------ the core's


def make_plan(leaves: list[Leaf], measures: list[Measure] | None = None, **changes: Any) -> Plan:
    positions = (0, 1, 2, 0, 1)
    everywhere = tuple(range(len(positions)))
    if measures is None:
        measures = [Measure(f"m{i}", Node("leaf", leaf.type, (), i)) for i, leaf in enumerate(leaves)]
    fields = [pa.field("k", pa.string())] + [pa.field(m.name, m.node.type) for m in measures]
    if changes.get("rows") == "all":
        fields += [f for f in changes.get("schema", SCHEMA) if f.name != "k"]
    plan = Plan(
        schema=SCHEMA,
        partition=(0,),
        order=(),
        variables=NAMES,
        conditions=(),
        condition_of=(-1, -1, -1),
        condition_names=(),
        positions=positions,
        first=everywhere,
        follow=tuple((*everywhere, -1) for _ in positions),
        within=None,
        time=None,
        skip="past_last",
        leaves=tuple(leaves),
        measures=tuple(measures),
        output_schema=pa.schema(fields),
        excluded=(False, False, False, True, True),
    )
    return replace(plan, **changes)


class Core:
    def __init__(self, plan: Plan, batch: pa.RecordBatch) -> None:
        columns = list(reversed(result_columns(plan)))
        self.results, self.schema, self.after = make_results(plan, True, columns)
        kinds = [layout(pa.null() if pa.types.is_null(t) else result_type(t)) for t in batch.schema.types]
        self.matches = compiled("matches").Matches(self.results, columns, [kinds[c] for c in columns], [0])
        self.matches.append(Batch.from_arrow(batch))

    def add(self, match: Match, *, all_rows: bool = True) -> Exception | None:
        kept = [
            (row, position)
            for row, label, position in zip(match.rows, match.labels, match.positions, strict=False)
            if all_rows or self.results.every or self.results.recorded >> label & 1
        ]
        length = len(match.rows) if match.kind == FOUND else 0
        found: Exception | None = self.matches.add(
            match.kind, match.partition, match.number, match.rows[0], match.rows[-1], length,
            [row for row, _ in kept], [position for _, position in kept],
        )  # fmt: skip
        return found

    def take(self) -> pa.RecordBatch:
        batch, fault = self.matches.take(Schema.from_arrow(self.schema))
        if fault is not None:
            raise fault
        if batch is None:
            return pa.RecordBatch.from_pylist([], schema=self.schema)
        taken = pa.record_batch(batch)
        taken.validate(full=True)
        assert taken.schema == self.schema
        return taken


def batch_of(rows: list[Row]) -> pa.RecordBatch:
    arrays = []
    for f in SCHEMA:
        values = [row[f.name] for row in rows]
        if f.name == "s":
            known = [*dict.fromkeys(v for v in values if v is not None)]
            codes = pa.array([None if v is None else known.index(v) for v in values], pa.int8())
            arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(known, pa.large_string())))
        else:
            arrays.append(pa.array(values, f.type))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def alike(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)
    return bool(a == b) and type(a) is type(b)


def same(given: list[Row], expected: list[Row]) -> None:
    assert len(given) == len(expected)
    for a, b in zip(given, expected, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert alike(a[name], b[name]), (name, a[name], b[name])


# ------------------------------------------------------------------ everything at random


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


def halves(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda v: v / 2)


ROWS = st.fixed_dictionaries(
    {
        "k": st.sampled_from(["one", "two of them", None]),
        "i": maybe(st.integers(-(2**40), 2**40)),
        "x": maybe(halves(-9, 9) | st.just(math.nan)),
        "s": maybe(st.sampled_from(["", "ab", "abc", "a longer text that needs its own bytes", "é"])),
        "b": maybe(st.booleans()),
        "d": maybe(st.dates(dt.date(1960, 1, 1), dt.date(2030, 1, 1))),
        "u": maybe(st.integers(0, 2**60)),
        "h": maybe(halves(-5, 5)),
        "m": maybe(st.integers(-999, 999).map(lambda v: Decimal(v).scaleb(-2))),
        "n": st.none(),
        "t": maybe(st.integers(0, 10**6).map(lambda v: EPOCH + dt.timedelta(milliseconds=v))),
        "w": maybe(st.integers(-(2**15), 2**15 - 1)),
    }
)
NUMBERS = ("i", "x", "u", "h", "w")
ORDERED = (*NUMBERS, "s", "b", "d", "t")


@st.composite
def leaves(draw: st.DrawFn) -> Leaf:
    variables = draw(st.sampled_from([1, 2, 3, 4, 5, 7, ALL]))
    final = draw(st.booleans())
    kind = draw(
        st.sampled_from(
            ["first", "last", "first", "last", "classifier", "match_number", "count_rows", "count", "sum", "avg", "min",
             "max", "array_agg", "min_by", "max_by", "any_value", "bool_and", "bool_or", "var_samp", "var_pop",
             "stddev_samp", "stddev_pop"]
        )
    )  # fmt: skip
    leaf = Leaf(kind, variables, -1, 0, pa.int64(), final=final)
    if kind in ("match_number", "count_rows"):
        return leaf
    if kind == "classifier":
        return replace(leaf, type=pa.string())
    if kind in ("first", "last"):
        leaf = replace(leaf, offset=draw(st.integers(0, 2)), physical=draw(st.integers(-2, 2)))
        name = draw(st.sampled_from([*SCHEMA.names[1:9], *SCHEMA.names[10:], "", "i"]))
        column = COLUMN[name] if name else CLASSIFIER
        return replace(leaf, column=column, type=TYPE.get(name, pa.string()))
    if kind in ("bool_and", "bool_or"):
        return replace(leaf, column=COLUMN["b"], type=pa.bool_())
    if kind == "count" or kind in ("array_agg", "any_value", "min", "max"):
        names = ORDERED if kind in ("min", "max") else (*ORDERED, "")
        name = draw(st.sampled_from(names))
        type = TYPE.get(name, pa.string())
        given = {"count": pa.int64(), "array_agg": pa.list_(type)}.get(kind, type)
        leaf = replace(leaf, column=COLUMN[name] if name else CLASSIFIER, type=given)
        if name == "i" and draw(st.booleans()):  # an expression: i + MATCH_NUMBER
            return replace(leaf, column=-1, arguments=(shifted("i"),))
        return leaf
    if kind in ("min_by", "max_by"):
        first, second = draw(st.sampled_from([*ORDERED, ""])), draw(st.sampled_from(ORDERED))
        nodes = [column_node(first), shifted("i") if second == "i" else column_node(second)]
        return replace(leaf, type=TYPE.get(first, pa.string()), arguments=tuple(nodes))
    name = draw(st.sampled_from(NUMBERS))
    if kind == "sum":
        whole = pa.int64() if name in ("i", "w") else pa.uint64() if name == "u" else pa.float64()
        return replace(leaf, column=COLUMN[name], type=draw(st.sampled_from([whole, pa.float64()])))
    return replace(leaf, column=COLUMN[name], type=pa.float64())


def column_node(name: str) -> Node:
    return Node("column", TYPE.get(name, pa.string()), (), (COLUMN[name] if name else CLASSIFIER, 0))


def shifted(name: str) -> Node:
    number = Node("column", pa.int64(), (), (MATCH_NUMBER, 0))
    return Node("add", pa.int64(), (column_node(name), number))


@st.composite
def matches_of(draw: st.DrawFn, plan: Plan, rows: list[Row]) -> list[Match]:
    groups: dict[Any, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row["k"], []).append(i)
    found = []
    for number in range(1, draw(st.integers(0, 5)) + 1):
        partition, group = draw(st.sampled_from([*enumerate(groups.values())]))
        begin = draw(st.integers(0, len(group) - 1))
        kinds = [FOUND, FOUND, EMPTY, UNMATCHED] if plan.rows == "all" else [FOUND, FOUND, EMPTY]
        kind = draw(st.sampled_from(kinds))
        if kind != FOUND:
            found.append(Match(kind, partition, number, [group[begin]]))
            continue
        part = group[begin : draw(st.integers(begin + 1, len(group)))]
        where = draw(st.lists(st.integers(0, 4), min_size=len(part), max_size=len(part)))
        found.append(Match(FOUND, partition, number, part, [plan.positions[p] for p in where], where))
    return found


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_against_the_plain_evaluation(data: st.DataObject) -> None:
    some = data.draw(st.lists(leaves(), max_size=6))
    rows = data.draw(st.lists(ROWS, min_size=1, max_size=12))
    shape = data.draw(st.sampled_from(["one", "all"]))
    plan = make_plan(some, rows=shape, empty=data.draw(st.sampled_from(["show", "omit", "unmatched"])))
    plain, core = Plain(rows, plan), Core(plan, batch_of(rows))
    assert core.after is None
    assert core.results.columns == result_columns(plan)
    matches = data.draw(matches_of(plan, rows))
    if shape == "one":
        plan = replace(plan, leaves=tuple(replace(leaf, final=True) for leaf in plan.leaves))
        plain = Plain(rows, plan)
    everything = data.draw(st.booleans())
    for match in matches:
        assert core.add(match, all_rows=everything) is None
    same(core.take().to_pylist(), plain.output(matches))
    assert core.take().num_rows == 0


# ------------------------------------------------------------------ one thing at a time


def rows_of(*values: int | None, k: str = "one") -> list[Row]:
    blank = dict.fromkeys(SCHEMA.names)
    return [blank | {"k": k, "i": v} for v in values]


def leaf_node(number: int, type: pa.DataType | None = None) -> Node:
    return Node("leaf", type or pa.int64(), (), number)


SUM = Leaf("sum", ALL, COLUMN["i"], 0, pa.int64())
LAST = Leaf("last", ALL, COLUMN["i"], 0, pa.int64())


def test_only_what_labels_are_needed_for_is_recorded() -> None:
    universal = [
        LAST, Leaf("first", ALL, COLUMN["i"], 0, pa.int64(), physical=-3), Leaf("count_rows", 7, -1, 0, pa.int64()),
    ]  # fmt: skip
    results, _, _ = make_results(make_plan(universal), False, [COLUMN["i"]])
    assert (results.recorded, results.every, results.back, results.ahead) == (0, False, 3, 0)
    of_b = [*universal, Leaf("min", 2, COLUMN["i"], 0, pa.int64()), Leaf("count_rows", 4, -1, 0, pa.int64())]
    results, _, _ = make_results(make_plan(of_b), False, [COLUMN["i"]])
    assert (results.recorded, results.every) == (6, False)
    neighbour = Leaf("last", 2, CLASSIFIER, 0, pa.string(), physical=1)
    results, _, _ = make_results(make_plan([neighbour]), False, [])
    assert results.every and results.ahead == 1
    results, _, _ = make_results(make_plan([], rows="all"), False, list(range(1, len(SCHEMA))))
    assert results.every


def test_the_first_row_of_a_variable_that_begins_every_match_needs_no_labels() -> None:
    plan = make_plan(
        [Leaf("first", 1, 1, 0, pa.int64()), Leaf("last", 4, 1, 0, pa.int64()), Leaf("last", 2, 1, 0, pa.int64())],
        positions=(0, 1, 2), first=(0,), follow=((1,), (1, 2), (-2,)), excluded=(),
    )  # fmt: skip
    sites = Sites.of(plan)
    assert [sites.place(leaf, 3) for leaf in plan.leaves] == ["start", "end", "rows"]
    results, _, _ = make_results(plan, False, [1])
    assert results.recorded == 2


def test_a_fault_leaves_nothing_of_its_match() -> None:
    half = 2**62
    listed = Leaf("array_agg", ALL, COLUMN["i"], 0, pa.list_(pa.int64()))
    plan = make_plan([listed, SUM, LAST])
    core = Core(plan, batch_of(rows_of(1, 2, half, half, 5)))
    assert core.add(Match(FOUND, 0, 1, [0, 1], [0, 0], [0, 0])) is None
    fault = core.add(Match(FOUND, 0, 2, [2, 3], [0, 0], [0, 0]))
    assert isinstance(fault, EvaluationError)
    assert "MEASURES m1 (its match is left out): the SUM over a match from event 2 to event 3" in str(fault)
    assert core.add(Match(FOUND, 0, 3, [4], [0], [0])) is None
    taken = core.take().to_pylist()
    assert [(row["m0"], row["m1"], row["m2"]) for row in taken] == [([1, 2], 3, 2), ([5], 5, 5)]


def test_an_argument_faults_only_in_rows_of_its_variables() -> None:
    quotient = Node("div", pa.int64(), (Node("const", pa.int64(), (), 10), column_node("i")))
    plan = make_plan([Leaf("sum", 1, -1, 0, pa.int64(), arguments=(quotient,))])
    core = Core(plan, batch_of(rows_of(5, 0, 2)))
    assert core.add(Match(FOUND, 0, 1, [0, 1, 2], [0, 1, 0], [0, 1, 0])) is None
    fault = core.add(Match(FOUND, 0, 1, [0, 1, 2], [0, 0, 0], [0, 0, 0]))
    assert isinstance(fault, EvaluationError)
    assert "MEASURES m0 (its match is left out): integer division by zero (10 / 0)" in str(fault)
    assert [row["m0"] for row in core.take().to_pylist()] == [7]


def test_arguments_of_a_long_match() -> None:
    n = 2500
    plan = make_plan([Leaf("sum", 1, -1, 0, pa.int64(), arguments=(shifted("i"),))])
    core = Core(plan, batch_of(rows_of(*range(n))))
    labels = [i % 2 for i in range(n)]
    assert core.add(Match(FOUND, 0, 3, list(range(n)), labels, labels)) is None
    assert core.take().to_pylist()[0]["m0"] == sum(i + 3 for i in range(0, n, 2))


def test_a_measure_that_faults_takes_out_all_rows_of_its_match() -> None:
    running = replace(LAST, final=False)
    twice = Node("mul", pa.int64(), (leaf_node(0), Node("const", pa.int64(), (), 4)))
    listed = Leaf("array_agg", ALL, COLUMN["i"], 0, pa.list_(pa.int64()), final=False)
    plan = make_plan(
        [running, listed], [Measure("four", twice), Measure("all", leaf_node(1, listed.type))], rows="all",
        empty="unmatched",
    )  # fmt: skip
    core = Core(plan, batch_of(rows_of(1, 2, 3, 2**61, 5, 6, 7)))
    assert core.add(Match(FOUND, 0, 1, [0, 1], [0, 0], [0, 0])) is None
    assert core.add(Match(FOUND, 0, 2, [2, 3, 4], [0, 0, 0], [0, 0, 0])) is None
    assert core.add(Match(UNMATCHED, 0, 0, [5])) is None
    assert core.add(Match(FOUND, 0, 3, [6], [0], [0])) is None
    with pytest.raises(EvaluationError, match=r"MEASURES four \(its match is left out\): integer overflow"):
        core.take()
    taken = [(row["i"], row["four"], row["all"]) for row in core.take().to_pylist()]
    assert taken == [(1, 4, [1]), (2, 8, [1, 2]), (6, None, None), (7, 28, [7])]


def test_a_row_of_no_match_has_no_measures_not_even_constant_ones() -> None:
    one = Node("const", pa.int64(), (), 1)
    none = Node("is_null", pa.bool_(), (leaf_node(0),))
    fault = Node("div", pa.int64(), (one, Node("sub", pa.int64(), (leaf_node(1), one))))
    plan = make_plan(
        [LAST, Leaf("count_rows", ALL, -1, 0, pa.int64())],
        [Measure("one", one), Measure("none", none), Measure("fault", fault)],
        rows="all",
        empty="unmatched",
    )
    core = Core(plan, batch_of(rows_of(1, 2, 3)))
    assert core.add(Match(EMPTY, 0, 1, [0])) is None
    assert core.add(Match(UNMATCHED, 0, 0, [1])) is None
    assert core.add(Match(UNMATCHED, 0, 0, [2])) is None
    taken = [(r["one"], r["none"], r["fault"]) for r in core.take().to_pylist()]
    assert taken == [(1, True, -1), (None, None, None), (None, None, None)]


def test_a_list_may_be_two_measures() -> None:
    listed = Leaf("array_agg", ALL, COLUMN["s"], 0, pa.list_(pa.string()))
    plan = make_plan(
        [listed], [Measure("one", leaf_node(0, listed.type)), Measure("two", leaf_node(0, listed.type))]
    )
    rows = [row | {"s": s} for row, s in zip(rows_of(1, 2), ["a", None], strict=True)]
    core = Core(plan, batch_of(rows))
    assert core.add(Match(FOUND, 0, 1, [0, 1], [0, 0], [0, 0])) is None
    taken = core.take()
    assert taken.to_pylist()[0]["one"] == taken.to_pylist()[0]["two"] == ["a", None]


def test_columns_that_all_rows_cannot_show_are_named() -> None:
    schema = pa.schema([("k", pa.string()), ("tags", pa.list_(pa.string()))])
    plan = make_plan([], rows="all", schema=schema)
    with pytest.raises(PatternError, match=r"column 'tags' of type list<"):
        make_results(plan, False, [1])


def test_a_history_without_a_column_that_is_read() -> None:
    with pytest.raises(ValueError, match="the History has no column 'i'"):
        make_results(make_plan([LAST]), False, [])


@pytest.mark.parametrize("values", [[], [1.5], [1.0, 2.0, 4.0], [1e15, 1e15 + 1, 1e15 + 2]])
def test_variances_of_an_accumulator(values: list[float]) -> None:
    from tocsin_core.aggregate import AGGREGATES
    from tocsin_core.expression import TYPES

    batch = Batch.from_arrow(
        pa.record_batch({"a": pa.array(values, pa.float64()), "b": pa.array(values, pa.float64())})
    )
    real = TYPES["f64"]
    for kind in ("var_samp", "var_pop", "stddev_samp", "stddev_pop"):
        _, given = compiled("matches").aggregate(batch, AGGREGATES[kind], real, real)
        expected = aggregate(kind, list(values), [], True)
        assert given == expected or given == pytest.approx(expected)


def test_accumulators_that_were_fed_alike_have_equal_bytes() -> None:
    from tocsin_core.aggregate import AGGREGATES
    from tocsin_core.expression import TYPES

    def state(kind: str, values: list[float]) -> bytes:
        array = pa.array(values, pa.float64())
        batch = Batch.from_arrow(pa.record_batch({"a": array, "b": array}))
        found: bytes = compiled("matches").aggregate(batch, AGGREGATES[kind], TYPES["f64"], TYPES["f64"])[0]
        return found

    assert len(state("min", [])) == 40 and not any(state("min", []))
    assert state("min", [1.0, 3.0]) == state("min", [1.0])
    assert state("max", [math.nan]) == state("max", [1.0, -math.nan])
    assert state("avg", [1.0, 3.0]) != state("avg", [4.0])
    assert state("any_value", [1.0, 3.0]) == state("any_value", [1.0])
