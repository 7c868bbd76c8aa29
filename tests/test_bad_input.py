"""Bad input through every door: a clear error, nothing changed, nothing lost, never a crash.

The order is that of the list in the project's plan: wrong names, wrong types, schema drift, unsorted times, nothing at
all, nulls and NaN, overflow and division, garbage as a pattern, capsules that were used up, handlers that raise, and
folders that are no store. Where a door goes on after an error, the tests push on, and what comes out must be what
would have come without the bad push.
"""

from __future__ import annotations

import errno
import math
import os
import pickle
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tocsin as tc
from tocsin import cli
from tocsin.errors import (
    ClosedError,
    EvaluationError,
    OrderError,
    PatternError,
    SchemaError,
    StoreError,
    TocsinError,
)

SCHEMA = pa.schema({"k": pa.string(), "t": pa.timestamp("s"), "amount": pa.int64(), "price": pa.float64()})
CLAUSE = """PARTITION BY k ORDER BY t MEASURES FIRST(a.t) AS started, LAST(b.amount) AS amount, COUNT(*) AS n
    PATTERN (a b+) DEFINE a AS amount > 0, b AS amount > PREV(amount)"""
# A window needs every event's time.
TIMED = CLAUSE.replace("DEFINE", "WITHIN INTERVAL '1' HOUR DEFINE")


def events(
    times: list[Any], amounts: list[Any], keys: list[Any] | None = None, prices: list[Any] | None = None
) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "k": pa.array(keys or ["x"] * len(times), pa.string()),
            "t": pa.array(times, pa.timestamp("s")),
            "amount": pa.array(amounts, pa.int64()),
            "price": pa.array(prices or [1.0] * len(times), pa.float64()),
        }
    )


GOOD = [
    events([1, 2, 3], [5, 6, 9], ["x", "y", "x"]),
    events([4, 5, 6, 7], [10, 3, 4, 1], ["x", "x", "x", "y"]),
    events([8, 9, 9], [2, 5, 0], ["y", "x", "x"]),
]


# ---------------------------------------------------------------- doors that go on after an error


class MatcherDoor:
    """What a user with a Matcher has in hand."""

    def __init__(self, clause: str, schema: pa.Schema, path: Path) -> None:
        self.matcher = tc.Matcher(clause, schema)
        self.rows: list[dict[str, Any]] = []

    def push(self, data: Any) -> None:
        self.rows += self.matcher.push(data).to_pylist()

    def sequence(self) -> int:
        return self.matcher.sequence

    def finish(self) -> list[dict[str, Any]]:
        return self.rows + self.matcher.finish().to_pylist()


class PickledDoor(MatcherDoor):
    """The same, saved and restored before each push."""

    def push(self, data: Any) -> None:
        self.matcher = pickle.loads(pickle.dumps(self.matcher))
        super().push(data)


class EngineDoor:
    """An engine with one trigger; without a time column, so that the pattern's order is the trigger's matter."""

    workers = 0
    stored = False

    def __init__(self, clause: str, schema: pa.Schema, path: Path) -> None:
        self.engine = tc.Engine(path / "store" if self.stored else None, workers=self.workers)
        self.stream = self.engine.stream("events", schema)
        self.trigger = self.engine.trigger("found", self.stream, clause)
        self.rows: list[dict[str, Any]] = []
        self.trigger.handler(lambda matches: self.rows.extend(matches.to_pylist()))

    def push(self, data: Any) -> None:
        self.stream.push(data)
        self.engine.flush()

    def sequence(self) -> int:
        if self.engine.store is not None:
            assert self.engine.store.streams()["events"].next_sequence == self.stream.sequence
        return self.stream.sequence

    def finish(self) -> list[dict[str, Any]]:
        self.engine.close(finish=True)
        return self.rows


class WorkerDoor(EngineDoor):
    workers = 1


class StoredDoor(EngineDoor):
    workers = 1
    stored = True


DOORS = [MatcherDoor, PickledDoor, EngineDoor, WorkerDoor, StoredDoor]
each_door = pytest.mark.parametrize("door", DOORS, ids=lambda d: d.__name__)


def undisturbed(clause: str, batches: list[pa.RecordBatch]) -> list[dict[str, Any]]:
    matcher = tc.Matcher(clause, SCHEMA)
    return [row for b in batches for row in matcher.push(b).to_pylist()] + matcher.finish().to_pylist()


def refused_between(
    door: Any,
    path: Path,
    bad: Callable[[int], Any],
    error: type[Exception],
    parts: list[str],
    *,
    taken: bool = False,
    clause: str = CLAUSE,
) -> None:
    """Pushes `bad(i)` before and after each good batch; it must be refused, in words, and leave no trace.

    taken: an engine has accepted its rows before the trigger refuses them.
    """
    wanted = undisturbed(clause, GOOD)
    assert len(wanted) >= 2
    given = door(clause, SCHEMA, path)
    for i, good in enumerate([*GOOD, None]):
        before = given.sequence()
        with pytest.raises(error) as caught:
            given.push(bad(i))
        for part in parts:
            assert part in str(caught.value), str(caught.value)
        assert isinstance(caught.value, TocsinError)
        assert given.sequence() == before or (taken and isinstance(given, EngineDoor))
        if good is not None:
            given.push(good)
    assert given.finish() == wanted


# ---------------------------------------------------------------- wrong column name

NAMES = [
    (CLAUSE.replace("amount > 0", "amout > 0"), "amout", "amount"),
    (CLAUSE.replace("BY k", "BY kk"), "kk", "k"),
    (CLAUSE.replace("ORDER BY t", "ORDER BY tt"), "tt", "t"),
    (CLAUSE.replace("LAST(b.amount)", "LAST(b.prise)"), "prise", "price"),
]


def clause_doors(clause: str, path: Path) -> Iterator[Callable[[], Any]]:
    """Every way to hand over a clause."""
    table = pa.Table.from_batches(GOOD)
    yield lambda: tc.match_recognize(table, clause)
    yield lambda: tc.Matcher(clause, SCHEMA)
    yield lambda: tc.explain(clause, SCHEMA)
    for workers in (0, 1):
        with tc.Engine(workers=workers) as engine:
            stream = engine.stream("events", SCHEMA)

            def set_trigger(engine: tc.Engine = engine, stream: Any = stream) -> None:
                try:
                    engine.trigger("found", stream, clause)
                finally:
                    assert list(engine.triggers) == []

            yield set_trigger
            assert engine.trigger("found", stream, CLAUSE).name == "found"  # the name is still free


@pytest.mark.parametrize(("clause", "wrong", "right"), NAMES, ids=[n for _, n, _ in NAMES])
def test_a_wrong_column_lists_the_columns_and_suggests_the_nearest(
    clause: str, wrong: str, right: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [
        f"no column '{wrong}'",
        f"did you mean '{right}'?",
        "The columns are k, t, amount, price",
        "^" * len(wrong),
    ]
    for door in clause_doors(clause, tmp_path):
        with pytest.raises(PatternError) as caught:
            door()
        assert all(part in str(caught.value) for part in parts), str(caught.value)
    pq.write_table(pa.Table.from_batches(GOOD), tmp_path / "e.parquet")
    for command in (
        ["match", clause, str(tmp_path / "e.parquet")],
        ["explain", clause, str(tmp_path / "e.parquet")],
    ):
        assert cli.main(command) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        assert all(part in printed.err for part in parts), printed.err


def test_a_wrong_column_of_a_condition_and_of_a_scan_is_named(tmp_path: Path) -> None:
    with tc.Engine(tmp_path / "s", workers=0) as engine:
        stream = engine.stream("events", SCHEMA)
        for condition in (tc.col("amout") > 3, "amout > 3"):
            with pytest.raises(
                PatternError, match=r"(?s)no column 'amout'.*did you mean 'amount'.*k, t, amount, price"
            ):
                engine.trigger("large", stream, condition)
        stream.push(GOOD[0])
        assert engine.store is not None
        with pytest.raises(SchemaError, match=r"no column 'amout'.*'k', 't', 'amount', 'price'"):
            engine.store.scan("events", columns=["amout"])
        with pytest.raises(StoreError, match="events"):
            engine.store.scan("evnts")


# ---------------------------------------------------------------- wrong type


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("amount > 0", "amount > 'a'", ["> cannot compare int64 with string", "without quotes"]),
        ("amount > 0", "k > 3", ["> cannot compare string with number"]),
        ("amount > 0", "t > 3", ["> cannot compare timestamp[s] with number"]),
        ("amount > 0", "amount", ["DEFINE A has to be true or false", "int64"]),
        ("amount > 0", "k + 1 > 0", ["+", "string"]),
        ("amount > 0", "t > 'yesterday'", ["'yesterday' is not a timestamp"]),
        ("COUNT(*)", "SUM(a.k)", ["SUM of string is not supported"]),
        ("ORDER BY t", "ORDER BY k", []),
    ],
)
def test_a_wrong_type_in_a_clause_is_shown_with_its_place(
    old: str, new: str, parts: list[str], tmp_path: Path
) -> None:
    clause = CLAUSE.replace(old, new)
    if new == "ORDER BY k":
        clause = clause.replace("b+)", "b+) WITHIN INTERVAL '5' SECOND")
        parts = ["WITHIN needs ORDER BY a date or time, and 'k' is string"]
    for door in clause_doors(clause, tmp_path):
        with pytest.raises(PatternError) as caught:
            door()
        assert all(part in str(caught.value) for part in [*parts, "line ", "^"]), str(caught.value)


@pytest.mark.parametrize("wrong", [None, 17, b"PATTERN (a)", ["PATTERN (a)"]])
def test_what_is_no_clause_and_no_schema_is_a_type_error_in_words(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"clause.*{type(wrong).__name__}"):
        tc.Matcher(wrong, SCHEMA)
    with pytest.raises(TypeError, match=f"clause.*{type(wrong).__name__}"):
        tc.match_recognize(GOOD[0], wrong)
    with pytest.raises(TypeError, match=f"clause.*{type(wrong).__name__}"):
        tc.explain(wrong, SCHEMA)
    with pytest.raises(TypeError, match=f"Schema is expected, not a {type(wrong).__name__}"):
        tc.Matcher(CLAUSE, wrong)


class Foreign:
    """Data that is none of ours."""


WRONG_DATA: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "an integer": (lambda: 17, ["int"]),
    "a text": (lambda: "abc", ["str"]),
    "nothing": (lambda: None, ["NoneType"]),
    "an object": (Foreign, ["Foreign"]),
    "text for numbers": (
        lambda: GOOD[0].set_column(2, "amount", pa.array(["5", "6", "9"])),
        ["column 'amount'", "'u'", "'l'"],
    ),
    "numbers for text": (
        lambda: GOOD[0].set_column(0, "k", pa.array([1, 2, 3])),
        ["column 'k'", "'l'"],
    ),
    "another width": (
        lambda: GOOD[0].set_column(2, "amount", pa.array([1, 2, 3], pa.int32())),
        ["column 'amount'", "'i'", "'l'"],
    ),
    "another unit": (
        lambda: GOOD[0].set_column(1, "t", pa.array([1, 2, 3], pa.timestamp("ms"))),
        ["column 't'", "tsm", "tss"],
    ),
    "a zone": (
        lambda: GOOD[0].set_column(1, "t", pa.array([1, 2, 3], pa.timestamp("s", "UTC"))),
        ["column 't'", "tss:UTC"],
    ),
    "ragged columns": (
        lambda: {"k": ["x"], "t": np.array([1, 2], "M8[s]"), "amount": [1], "price": [1.0]},
        ["column 't'", "2 rows", "'k' has 1"],
    ),
    "two dimensions": (
        lambda: {"k": ["x"], "t": np.array([1], "M8[s]"), "amount": np.zeros((1, 1), int), "price": [1.0]},
        ["column 'amount'", "dimension"],
    ),
    "two types in a column": (
        lambda: {"k": ["x", 1], "t": np.array([1, 2], "M8[s]"), "amount": [1, 1], "price": [1.0, 1.0]},
        ["column 'k'"],
    ),
}


@each_door
@pytest.mark.parametrize("what", WRONG_DATA)
def test_data_of_a_wrong_type_is_refused_whole(door: Any, what: str, tmp_path: Path) -> None:
    make, parts = WRONG_DATA[what]
    refused_between(door, tmp_path, lambda i: make(), SchemaError, parts)


@pytest.mark.parametrize(
    "what", ["an integer", "a text", "nothing", "an object", "ragged columns", "two types in a column"]
)
def test_a_table_of_a_wrong_type_is_refused(what: str) -> None:
    make, parts = WRONG_DATA[what]
    with pytest.raises(SchemaError) as caught:
        tc.match_recognize(make(), CLAUSE)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


# ---------------------------------------------------------------- schema drift between batches

DRIFT: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "a column less": (lambda: GOOD[1].drop_columns(["price"]), ["column 'price' missing"]),
    "a column more": (
        lambda: GOOD[1].append_column("note", pa.array(["n"] * 4)),
        ["column 'note' not expected"],
    ),
    "a column renamed": (
        lambda: GOOD[1].rename_columns(["k", "t", "amout", "price"]),
        ["column 'amount' missing", "column 'amout' not expected"],
    ),
    "another order": (
        lambda: GOOD[1].select(["t", "k", "amount", "price"]),
        ["another order", "k, t, amount, price"],
    ),
    "no columns": (
        lambda: pa.record_batch([], schema=pa.schema([])),
        ["'k', 't', 'amount', 'price' missing"],
    ),
    "a table of no columns": (lambda: pa.table({}), ["'k', 't', 'amount', 'price' missing"]),
    "another column twice": (
        lambda: pa.RecordBatch.from_arrays([*GOOD[1].columns, GOOD[1]["k"]], [*SCHEMA.names, "k"]),
        ["k, t, amount, price, k", "expected k, t, amount, price"],
    ),
    "a stream of another schema": (
        lambda: pa.RecordBatchReader.from_batches(pa.schema({"z": pa.int8()}), []),
        ["'k', 't', 'amount', 'price' missing", "column 'z' not expected"],
    ),
}


@each_door
@pytest.mark.parametrize("what", DRIFT)
def test_a_schema_that_drifts_is_refused_by_column(door: Any, what: str, tmp_path: Path) -> None:
    make, parts = DRIFT[what]
    refused_between(door, tmp_path, lambda i: make(), SchemaError, parts)


@each_door
def test_another_layout_of_text_is_no_drift(door: Any, tmp_path: Path) -> None:
    given = door(CLAUSE, SCHEMA, tmp_path)
    kinds = [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
    for batch, kind in zip(GOOD, kinds, strict=True):
        keys = batch["k"].dictionary_encode() if pa.types.is_dictionary(kind) else batch["k"].cast(kind)
        given.push(batch.set_column(0, "k", keys))
    assert given.finish() == undisturbed(CLAUSE, GOOD)


# ---------------------------------------------------------------- unsorted time


def place_of(door: Any, row: int, rows: int) -> str:
    """Where an error says that row `row` of the last batch is, of `rows` rows."""
    return (
        f"event {door.sequence() - rows + row}:"
        if isinstance(door, EngineDoor)
        else f"row {row} of the batch"
    )


@pytest.mark.parametrize("door", [MatcherDoor, PickledDoor, EngineDoor, WorkerDoor])
@pytest.mark.parametrize("place", [1, 5, 1023, 1500])
def test_an_unsorted_time_names_its_row(door: Any, place: int, tmp_path: Path) -> None:
    times = [20] * 2000
    times[place] = 19
    given = door(CLAUSE, SCHEMA, tmp_path)
    for good in [*GOOD, None]:
        with pytest.raises(OrderError) as caught:
            given.push(events(times, [1] * 2000))
        assert all(part in str(caught.value) for part in ("19 comes after 20", "sort by this column"))
        assert place_of(given, place, 2000) in str(caught.value)
        if good is not None:
            given.push(good)
    assert given.finish() == undisturbed(CLAUSE, GOOD)


@pytest.mark.parametrize("door", [MatcherDoor, PickledDoor, EngineDoor, WorkerDoor])
def test_a_batch_that_begins_before_the_last_one_ended_names_row_0(door: Any, tmp_path: Path) -> None:
    given = door(CLAUSE, SCHEMA, tmp_path)
    for good in GOOD:
        given.push(good)
        with pytest.raises(OrderError, match=f"-1 comes after {good['t'][-1].value}") as caught:
            given.push(events([-1, 100], [1, 2]))
        assert place_of(given, 0, 2) in str(caught.value)
    assert given.finish() == undisturbed(CLAUSE, GOOD)


@pytest.mark.parametrize("door", [MatcherDoor, PickledDoor, EngineDoor, WorkerDoor])
def test_an_event_without_a_time_names_its_row(door: Any, tmp_path: Path) -> None:
    bad = events([20, 20, None, 20], [1] * 4)
    nulls = [
        "row 3 of the batch",
        "wrong side of a NULL",
    ]  # nulls come last, so the row after one is at fault
    refused_between(door, tmp_path / "a", lambda i: bad, OrderError, nulls, taken=True)
    times = ["ORDER BY t", "time is null at row 2 of the batch"]
    refused_between(door, tmp_path / "b", lambda i: bad, OrderError, times, taken=True, clause=TIMED)


def test_an_unsorted_table_is_sorted_and_a_null_time_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.Table.from_batches(GOOD)
    order = list(range(table.num_rows))
    random.Random(1).shuffle(order)
    order.sort(key=lambda i: i >= 8)  # the two events at 9 s stay in their order
    assert (
        tc.match_recognize(table.take(order), CLAUSE).to_pylist()
        == tc.match_recognize(table, CLAUSE).to_pylist()
    )
    nulls = pa.concat_tables([table, pa.Table.from_batches([events([None], [1])])])
    assert (
        tc.match_recognize(nulls, CLAUSE).num_rows >= tc.match_recognize(table, CLAUSE).num_rows
    )  # nulls stand last
    with pytest.raises(OrderError, match=r"ORDER BY t: the time is null at row 10 of the table"):
        tc.match_recognize(nulls, TIMED)
    pq.write_table(nulls, tmp_path / "e.parquet")
    assert cli.main(["match", TIMED, str(tmp_path / "e.parquet"), "-o", str(tmp_path / "m.parquet")]) == 2
    assert "time is null at row 10" in capsys.readouterr().err
    assert not (tmp_path / "m.parquet").exists()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_late_events_of_a_timed_stream_are_set_aside_and_counted(workers: int) -> None:
    with tc.Engine(workers=workers) as engine:
        stream = engine.stream("events", SCHEMA, time="t")
        rows: list[dict[str, Any]] = []
        engine.trigger("found", stream, CLAUSE).handler(lambda m: rows.extend(m.to_pylist()))
        for good in GOOD:
            stream.push(good)
            stream.push(events([0, 0], [1, 2]))
        engine.flush()
        assert stream.late_count == 6
        assert stream.late().num_rows == 6
        with pytest.raises(OrderError, match="time"):
            stream.push(events([None], [1]))
    assert rows == undisturbed(CLAUSE, GOOD)


# ---------------------------------------------------------------- nothing at all


@each_door
def test_nothing_changes_nothing(door: Any, tmp_path: Path) -> None:
    given = door(CLAUSE, SCHEMA, tmp_path)
    for good in GOOD:
        for empty in (
            GOOD[0].slice(0, 0),
            GOOD[0].slice(3, 0),
            SCHEMA.empty_table(),
            pa.RecordBatchReader.from_batches(SCHEMA, []),
            {"k": [], "t": np.array([], "M8[s]"), "amount": np.array([], "i8"), "price": np.array([], "f8")},
        ):
            if isinstance(empty, dict) and isinstance(given, MatcherDoor):
                empty["k"] = pa.array([], pa.string())  # a matcher takes a dict's types as they are
            given.push(empty)
        given.push(good)
    assert given.sequence() == 10
    assert given.finish() == undisturbed(CLAUSE, GOOD)


def test_a_table_of_no_rows_or_no_columns() -> None:
    none = tc.match_recognize(SCHEMA.empty_table(), CLAUSE)
    assert none.num_rows == 0
    assert none.schema.names == ["k", "started", "amount", "n"]
    with pytest.raises(PatternError, match=r"no column 'k': The columns are \(none\)"):
        tc.match_recognize({}, CLAUSE)
    assert tc.match_recognize({}, "MEASURES COUNT(*) AS n PATTERN (a+)").to_pylist() == []
    assert tc.Matcher("MEASURES COUNT(*) AS n PATTERN (a+)", pa.schema([])).finish().num_rows == 0
    with tc.Engine(workers=0) as engine:
        with pytest.raises(SchemaError, match="stream 'none' must have at least one column"):
            engine.stream("none", pa.schema([]))
        with pytest.raises(SchemaError, match="column 'a' twice"):
            engine.stream("twice", pa.schema([("a", pa.int8()), ("a", pa.int8())]))


def test_an_empty_clause_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for clause in ("", "   ", "\n", "-- nothing"):
        with pytest.raises(PatternError, match="PATTERN is missing"):
            tc.Matcher(clause, SCHEMA)
    assert tc.Matcher("PATTERN (())", SCHEMA).output_schema.names == []  # the empty pattern is one
    pq.write_table(pa.Table.from_batches(GOOD), tmp_path / "e.parquet")
    assert cli.main(["match", "", str(tmp_path / "e.parquet")]) == 2
    assert "PATTERN is missing" in capsys.readouterr().err


# ---------------------------------------------------------------- nulls and NaN

RUNS = (
    "PARTITION BY {key} MEASURES COUNT(*) AS n, SUM(amount) AS s PATTERN (a+) DEFINE a AS amount IS NOT NULL"
)


@each_door
def test_null_keys_are_a_partition_of_their_own(door: Any, tmp_path: Path) -> None:
    given = door(RUNS.format(key="k"), SCHEMA, tmp_path)
    given.push(events([1, 2, 3, 4], [1, 10, 100, 1000], [None, "x", None, ""]))
    given.push(events([5, 6], [10_000, 100_000], ["", None]))
    found = {row["k"]: (row["n"], row["s"]) for row in given.finish()}
    assert found == {None: (3, 100_101), "x": (1, 10), "": (2, 11_000)}


@each_door
def test_nan_is_one_key_and_minus_zero_is_zero(door: Any, tmp_path: Path) -> None:
    given = door(RUNS.format(key="price"), SCHEMA, tmp_path)
    given.push(events([1, 2, 3, 4], [1, 10, 100, 1000], None, [math.nan, 0.0, -math.nan, -0.0]))
    given.push(events([5, 6], [10_000, 100_000], None, [math.nan, None]))
    found = {repr(row["price"]): (row["n"], row["s"]) for row in given.finish()}
    assert found == {"nan": (3, 10_101), "0.0": (2, 1010), "None": (1, 100_000)}


@each_door
@pytest.mark.parametrize(
    ("condition", "passed"),
    [
        ("price > 1", [3, 5]),
        ("NOT price > 1", [0, 1, 2]),
        ("price = price", [0, 2, 3, 5]),
        ("price <> price", [1]),
        ("price BETWEEN 0 AND 1", [0]),
        ("price IN (0, 2.5)", [0, 3]),
        ("price / price IS NULL", [4]),
        ("price IS NULL", [4]),
        ("price - PREV(price) > 0 OR PREV(price) IS NULL", [0, 3, 5]),
    ],
)
def test_nan_compares_as_ieee_says_and_null_as_sql_says(
    door: Any, condition: str, passed: list[int], tmp_path: Path
) -> None:
    given = door(f"MEASURES a.amount AS at PATTERN (a) DEFINE a AS {condition}", SCHEMA, tmp_path)
    prices = [0.0, math.nan, -math.inf, 2.5, None, math.inf]
    given.push(events([1] * 6, list(range(6)), None, prices))
    assert [row["at"] for row in given.finish()] == passed


# ---------------------------------------------------------------- overflow and division by zero

BIG = 2**63 - 1
FAULTS = [
    ("amount + 1 > 0", BIG, ["integer overflow", "'+'", str(BIG)]),
    ("amount * 2 > 0", BIG, ["integer overflow", "'*'"]),
    ("- amount > 0", -(2**63), ["integer overflow", "'-'"]),
    ("100 / (amount - 7) > 0", 7, ["integer division by zero", "100 / 0", "guard it"]),
    ("100 % (amount - 7) > 0", 7, ["integer division by zero", "100 % 0"]),
    ("amount / (amount - amount - 1) > 0", -(2**63), ["integer overflow"]),
]


@pytest.mark.parametrize("door", [MatcherDoor, PickledDoor, EngineDoor, WorkerDoor])
@pytest.mark.parametrize(("condition", "value", "parts"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_condition_without_a_value_is_an_error_that_changes_nothing(
    door: Any, condition: str, value: int, parts: list[str], tmp_path: Path
) -> None:
    clause = f"""PARTITION BY k MEASURES FIRST(amount) AS f, COUNT(*) AS n PATTERN (a b*)
        DEFINE a AS {condition}, b AS amount > PREV(amount)"""
    good = [events([1, 2, 3], [1, 2, 3]), events([4, 5], [4, 2]), events([6, 7], [9, 11])]
    matcher = tc.Matcher(clause, SCHEMA)
    wanted = [row for b in good for row in matcher.push(b).to_pylist()] + matcher.finish().to_pylist()
    given = door(clause, SCHEMA, tmp_path)
    for batch in good:
        given.push(batch)
        with pytest.raises(EvaluationError) as caught:
            given.push(events([1] * 5, [50, 60, value, 1, 2], ["x", "x", "x", "y", "y"]))
        where = [place_of(given, 2, 5), "DEFINE A"]
        assert all(part in str(caught.value) for part in [*parts, *where]), str(caught.value)
    assert given.finish() == wanted
    if isinstance(given, EngineDoor):
        letters = given.engine.dead_letters("found")
        assert [letter.rows.num_rows for letter in letters if letter.rows] == [5] * 3


@each_door
@pytest.mark.parametrize(
    "condition",
    [
        "amount <> 7 AND 100 / (amount - 7) > 0",
        "100 / (amount - 7) > 0 AND amount <> 7",
        "NOT (amount = 7 OR 100 / (amount - 7) <= 0)",
        "(price > 0 OR amount + 9223372036854775807 > 0) AND amount > 7",
    ],
)
def test_a_fault_that_the_rest_settles_is_none(door: Any, condition: str, tmp_path: Path) -> None:
    given = door(f"MEASURES a.amount AS v PATTERN (a) DEFINE a AS {condition}", SCHEMA, tmp_path)
    given.push(events([1] * 4, [7, 8, 6, 17]))
    assert [row["v"] for row in given.finish()] == [8, 17]


def test_floats_do_not_fault() -> None:
    found = tc.match_recognize(
        {"x": [1.0, 0.0, -1.0, 1e308]},
        "MEASURES x / (x - x) AS q, x * 1e308 AS p PATTERN (a) DEFINE a AS x / 0.0 >= x OR NOT x / 0.0 = 1",
    ).to_pylist()
    assert repr(found) == (
        "[{'q': inf, 'p': 1e+308}, {'q': nan, 'p': 0.0}, {'q': -inf, 'p': -1e+308}, {'q': inf, 'p': inf}]"
    )


def test_a_fault_in_a_file_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.Table.from_batches([events([1, 2], [1, 7])]), tmp_path / "e.parquet")
    clause = "MEASURES a.t AS t PATTERN (a) DEFINE a AS 1 / (amount - 7) > 0"
    assert cli.main(["match", clause, str(tmp_path / "e.parquet"), "-o", str(tmp_path / "m.arrow")]) == 2
    printed = capsys.readouterr()
    assert "DEFINE A" in printed.err
    assert "division by zero" in printed.err
    assert printed.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.parquet"]


def test_matches_found_before_a_fault_come_with_the_next_call() -> None:
    """A push of several batches: those before the one at fault are taken, and their matches must not be lost."""
    for saved in (False, True):
        clause = CLAUSE.replace("amount > 0", "100 / amount > 0")
        matcher = tc.Matcher(clause, SCHEMA)
        bad = pa.Table.from_batches([*GOOD[:2], events([8, 9], [5, 0], ["z", "z"]), events([10], [1])])
        with pytest.raises(EvaluationError, match="row 1 of the batch"):
            matcher.push(bad)
        assert matcher.sequence == 7
        if saved:
            matcher = pickle.loads(pickle.dumps(matcher))
        found = matcher.push(SCHEMA.empty_table()).to_pylist()
        assert len(found) == 1
        last = events([8, 9, 9], [2, 5, 1], ["y", "x", "x"])
        found += matcher.push(last).to_pylist() + matcher.finish().to_pylist()
        assert found == undisturbed(clause, [*GOOD[:2], last])


MEASURED = """PARTITION BY k ORDER BY t MEASURES FIRST(a.amount) AS f, COUNT(*) AS n, 60 / SUM(amount) AS q
    PATTERN (a b*) DEFINE b AS amount < PREV(amount)"""


@pytest.mark.parametrize("door", [MatcherDoor, EngineDoor, WorkerDoor, StoredDoor])
def test_a_match_without_a_value_is_left_out_and_the_others_come(door: Any, tmp_path: Path) -> None:
    """A measure that divides by zero: its events are taken, its match is reported, no other match is lost."""
    batches = [
        events([1] * 5, [3, 0, 5, -5, 7]),
        events([2] * 3, [0, 0, 2]),
        events([3, 3], [0, 0], ["y", "y"]),
    ]
    given = door(MEASURED, SCHEMA, tmp_path)
    faults: list[str] = []

    def heard(call: Callable[[], Any]) -> Any:
        while True:
            try:
                return call()
            except EvaluationError as fault:
                faults.append(str(fault))
            if isinstance(given, EngineDoor):
                return None
            call = call if call == given.finish else lambda: given.push(SCHEMA.empty_table())

    for i, batch in enumerate(batches):
        heard(lambda batch=batch: given.push(batch))
        assert given.sequence() == [5, 8, 10][i]
    rows = heard(given.finish) or given.rows
    assert [(row["f"], row["n"], row["q"]) for row in rows] == [(3, 2, 20), (7, 2, 8), (2, 1, 30)]
    if isinstance(given, EngineDoor):
        assert given.stored or [x.kind for x in given.engine.dead_letters("found")] == ["fault"] * 4
    else:
        assert len(faults) == 4
    assert all("MEASURES q" in f and "integer division by zero (60 / 0)" in f for f in faults)


@pytest.mark.parametrize("door", [MatcherDoor, EngineDoor, WorkerDoor])
def test_sums_beyond_64_bits_are_counted_and_the_other_matches_come(door: Any, tmp_path: Path) -> None:
    given = door(MEASURED.replace("60 / SUM", "SUM"), SCHEMA, tmp_path)
    with pytest.raises(
        EvaluationError, match=r"3 matches are left out; the first.*SUM over a match from event 0 to"
    ):
        given.push(events(list(range(9)), [BIG, BIG - 1, BIG, 1, 7, 6, BIG, 2, 4]))
    assert given.sequence() == 9
    given.push(events([9], [5]))
    assert [(row["f"], row["q"]) for row in given.finish()] == [(7, 13), (4, 4), (5, 5)]


# ---------------------------------------------------------------- garbage as a pattern

MEGABYTES = 10_000_000


def garbage(size: int) -> Iterator[tuple[str, str]]:
    rnd = random.Random(1)
    yield "any characters", "".join(map(chr, (rnd.choices(range(1, 0x2FFF), k=size))))
    yield "characters of patterns", "PATTERN (" + "".join(rnd.choices("ab (){}|*+?,'\"<>=.01\n", k=size))
    yield "opening parentheses", "PATTERN (" + "(" * size
    yield "variables", "PATTERN (" + "a " * (size // 2) + ")"
    yield "different variables", "PATTERN (" + " ".join(f"v{i}" for i in range(size // 9)) + ")"
    yield "alternatives", "PATTERN (" + "a|" * (size // 2) + "a)"
    yield "quantifiers", "PATTERN (a" + "+" * size + ")"
    yield "a bound", "PATTERN (a{" + "9" * size + "})"
    yield "an open string", "PATTERN (a) DEFINE a AS k = '" + "x" * size
    yield "a number", "PATTERN (a) DEFINE a AS amount = " + "1" * size
    yield "NOT", "PATTERN (a) DEFINE a AS " + "NOT " * (size // 4) + "amount = 1"
    yield "sums", "PATTERN (a) DEFINE a AS " + "amount+" * (size // 7) + "1 > 0"
    yield "calls", "PATTERN (a) DEFINE a AS " + "PREV(" * (size // 5)
    yield "a column", "PATTERN (a) DEFINE a AS " + "x" * size + " > 1"
    yield "a variable", "PATTERN (a) DEFINE " + "x" * size + " AS amount > 1"
    yield "a prefix", "PATTERN (a) DEFINE a AS " + "x" * size + ".amount > 1"
    yield "an interval", "ORDER BY t PATTERN (a) WITHIN INTERVAL '" + "9" * size + "' SECOND"
    yield "blanks", " " * size
    yield "zeros", "\0" * size
    yield "quotes", '"' * size
    yield "a comment", "/*" + "*" * size
    yield "lone surrogates", "\ud800" * size


@pytest.mark.parametrize("size", [MEGABYTES, 900_000], ids=["10 MB", "under the limit"])
def test_megabytes_of_garbage_are_refused_at_once_in_few_words(size: int) -> None:
    for what, text in garbage(size):
        started = time.process_time()
        with pytest.raises(PatternError) as caught:
            tc.Matcher(text, SCHEMA)
        assert time.process_time() - started < 10, what
        assert len(str(caught.value)) < 2000, what
        if size == MEGABYTES:
            assert "the limit is 1000000" in str(caught.value), what


def test_garbage_is_refused_through_every_door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = dict(garbage(MEGABYTES))["characters of patterns"]
    for door in clause_doors(text, tmp_path):
        with pytest.raises(PatternError, match="the limit is 1000000"):
            door()
    pq.write_table(pa.Table.from_batches(GOOD), tmp_path / "e.parquet")
    (tmp_path / "clause.sql").write_text(text)
    assert cli.main(["match", f"@{tmp_path / 'clause.sql'}", str(tmp_path / "e.parquet")]) == 2
    assert "the limit is 1000000" in capsys.readouterr().err
    (tmp_path / "clause.sql").write_bytes(random.Random(1).randbytes(MEGABYTES))
    assert cli.main(["match", f"@{tmp_path / 'clause.sql'}", str(tmp_path / "e.parquet")]) == 2
    assert "is no text file" in capsys.readouterr().err
    with pytest.raises(PatternError, match="the limit is 1000000"), tc.Engine(workers=0) as engine:
        engine.trigger("t", engine.stream("s", SCHEMA), "amount > " + "1" * MEGABYTES)


# ---------------------------------------------------------------- capsules


class Capsules:
    """A producer that gives the same capsules again and again, as only a wrong one does."""

    def __init__(self, data: Any, *, stream: bool) -> None:
        if stream:
            capsule = data.__arrow_c_stream__()
            self.__arrow_c_stream__ = lambda requested_schema=None: capsule
        else:
            pair = data.__arrow_c_array__()
            self.__arrow_c_array__ = lambda requested_schema=None: pair


class Giving:
    """A producer that gives what it was told."""

    def __init__(self, method: str, what: Any) -> None:
        setattr(self, method, lambda requested_schema=None: what)


class Raising:
    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        raise RuntimeError("the producer broke")


@each_door
@pytest.mark.parametrize("stream", [False, True], ids=["array", "stream"])
def test_a_consumed_capsule_is_refused(door: Any, stream: bool, tmp_path: Path) -> None:
    consumed = Capsules(GOOD[0], stream=stream) if not stream else Capsules(pa.table(GOOD[0]), stream=True)
    throwaway = tc.Matcher(CLAUSE, SCHEMA)
    throwaway.push(consumed)
    assert throwaway.sequence == 3
    refused_between(door, tmp_path, lambda i: consumed, SchemaError, ["released or consumed already"])


@pytest.mark.parametrize("stream", [False, True], ids=["array", "stream"])
def test_a_consumed_capsule_is_no_table(stream: bool) -> None:
    consumed = Capsules(pa.table(GOOD[0]) if stream else GOOD[0], stream=stream)
    assert tc.match_recognize(consumed, CLAUSE).num_rows == 1
    with pytest.raises(SchemaError, match=r"released.*read only once"):
        tc.match_recognize(consumed, CLAUSE)


WRONG_CAPSULES: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "none": (lambda: Giving("__arrow_c_array__", None), ["two capsules"]),
    "integers": (lambda: Giving("__arrow_c_array__", (1, 2)), ["PyCapsule 'arrow_schema'", "int"]),
    "swapped": (
        lambda: Giving("__arrow_c_array__", GOOD[0].__arrow_c_array__()[::-1]),
        ["'arrow_schema'", "'arrow_array'"],
    ),
    "one": (lambda: Giving("__arrow_c_array__", GOOD[0].__arrow_c_array__()[:1]), ["two capsules"]),
    "no stream": (lambda: Giving("__arrow_c_stream__", None), ["PyCapsule 'arrow_array_stream'"]),
    "a schema for a stream": (
        lambda: Giving("__arrow_c_stream__", GOOD[0].schema.__arrow_c_schema__()),
        ["'arrow_array_stream'", "'arrow_schema'"],
    ),
}


@pytest.mark.parametrize("door", [MatcherDoor, EngineDoor, WorkerDoor])
@pytest.mark.parametrize("what", WRONG_CAPSULES)
def test_wrong_capsules_are_refused(door: Any, what: str, tmp_path: Path) -> None:
    make, parts = WRONG_CAPSULES[what]
    refused_between(door, tmp_path, lambda i: make(), SchemaError, parts)
    with pytest.raises(SchemaError):
        tc.match_recognize(make(), CLAUSE)


@each_door
def test_a_producer_that_raises_is_heard_and_what_came_before_stays(door: Any, tmp_path: Path) -> None:
    def produce() -> Iterator[pa.RecordBatch]:
        yield GOOD[1]
        raise RuntimeError("the producer broke")

    given = door(CLAUSE, SCHEMA, tmp_path)
    given.push(GOOD[0])
    with pytest.raises(RuntimeError, match="the producer broke"):
        given.push(Raising())
    assert given.sequence() == 3
    with pytest.raises(TocsinError, match=r"(?s)producer failed.*the producer broke"):
        given.push(pa.RecordBatchReader.from_batches(SCHEMA, produce()))
    assert given.sequence() == 7
    given.push(GOOD[2])
    assert given.finish() == undisturbed(CLAUSE, GOOD)


def test_broken_arrow_data_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """Offsets and codes that point outside: what a checked producer never makes."""
    offsets = pa.py_buffer(np.array([0, 1, 2**30, 3], "i4"))
    text = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"xyz"))
    codes = pa.py_buffer(np.array([0, 9, 0], "i1"))
    coded = pa.DictionaryArray.from_buffers(
        pa.dictionary(pa.int8(), pa.string()), 3, [None, codes], pa.array(["x", "y"])
    )
    for number, keys in enumerate((text, coded)):
        bad = GOOD[0].set_column(0, "k", keys)
        for door in (MatcherDoor, EngineDoor, WorkerDoor):
            refused_between(door, tmp_path / str(number), lambda i, bad=bad: bad, SchemaError, ["'k'"])
        with pytest.raises(SchemaError, match="'k'"):
            tc.match_recognize(bad, CLAUSE)


# ---------------------------------------------------------------- handlers that raise


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_handler_that_raises_loses_nothing(
    workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tc.Engine(tmp_path / "s", workers=workers, retries=1, backoff=0.0) as engine:
        stream = engine.stream("events", SCHEMA)
        found, other = engine.trigger("found", stream, CLAUSE), engine.trigger("other", stream, CLAUSE)
        calls: list[int] = []
        rows: list[dict[str, Any]] = []
        also: list[dict[str, Any]] = []

        @found.handler
        def fails(matches: pa.RecordBatch) -> None:
            calls.append(matches.num_rows)
            raise ValueError("not today")

        found.handler(lambda matches: rows.extend(matches.to_pylist()))
        other.handler(lambda matches: also.extend(matches.to_pylist()))
        for good in GOOD:
            stream.push(good)
        engine.close(finish=True)
    wanted = undisturbed(CLAUSE, GOOD)
    assert rows == also == wanted
    assert sum(calls) == 2 * len(wanted)  # each batch of matches once, and once again
    with tc.Store(tmp_path / "s", read_only=True) as store:
        columns = list(wanted[0])
        assert store.matches.scan("found", columns=columns).read_all().to_pylist() == wanted
        assert store.scan("events").read_all().num_rows == 10
    with tc.Engine(tmp_path / "s", workers=0) as engine:
        letters = engine.dead_letters("found")
        assert [row for letter in letters for row in letter.rows.to_pylist()] == wanted
        assert {letter.kind for letter in letters} == {"handler"}
        assert all("fails" in letter.handler and "not today" in letter.error for letter in letters)
    assert "not today" in caplog.text


# ---------------------------------------------------------------- folders that are no store


def engine_and_store(path: Path) -> Iterator[Callable[[], Any]]:
    yield lambda: tc.Store(path)
    yield lambda: tc.Engine(path, workers=0)
    yield lambda: tc.Engine(path, workers=1)


@pytest.mark.parametrize("kind", ["a file", "files of others", "garbage for a manifest", "a file above it"])
def test_what_is_not_ours_is_refused_and_not_touched(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    if kind == "a file":
        path.write_bytes(b"mine")
    elif kind == "a file above it":
        path.write_bytes(b"mine")
        path = path / "below"
    elif kind == "files of others":
        path.mkdir()
        (path / "thesis.txt").write_bytes(b"mine")
    else:
        with tc.Store(path):
            pass
        (manifest,) = (p for p in path.iterdir() if p.suffix == ".json")
        manifest.write_bytes(b"\x00garbage")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for door in engine_and_store(path):
        with pytest.raises(StoreError) as caught:
            door()
        assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def failing(code: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_is_read_only_is_named(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", failing(code))
    for door in engine_and_store(tmp_path / "s"):
        with pytest.raises(StoreError, match=os.strerror(code)) as caught:
            door()
        assert str(tmp_path / "s") in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_full_disk_refuses_the_push_and_the_engine_goes_on(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = {name: getattr(os, name) for name in ("write", "writev") if hasattr(os, name)}
    with tc.Engine(tmp_path / "s", workers=workers) as engine:
        stream = engine.stream("events", SCHEMA)
        rows: list[dict[str, Any]] = []
        engine.trigger("found", stream, CLAUSE).handler(lambda matches: rows.extend(matches.to_pylist()))
        for i, good in enumerate(GOOD):
            for name in real:
                monkeypatch.setattr(os, name, failing(errno.ENOSPC))
            with pytest.raises(StoreError, match=os.strerror(errno.ENOSPC)):
                stream.push(events([50], [i]))
            for name, function in real.items():
                monkeypatch.setattr(os, name, function)
            stream.push(good)
            engine.flush()
        assert stream.sequence == 10
        engine.close(finish=True)
    assert rows == undisturbed(CLAUSE, GOOD)
    with tc.Store(tmp_path / "s", read_only=True) as store:
        assert store.scan("events").read_all().equals(pa.Table.from_batches(GOOD))


# ---------------------------------------------------------------- after the end


def test_a_closed_engine_and_store_refuse(tmp_path: Path) -> None:
    engine = tc.Engine(tmp_path / "s", workers=0)
    stream = engine.stream("events", SCHEMA)
    store = engine.store
    assert store is not None
    engine.close()
    for use in (
        lambda: stream.push(GOOD[0]),
        lambda: engine.flush(),
        lambda: engine.stream("more", SCHEMA),
        lambda: engine.trigger("t", stream, CLAUSE),
        lambda: store.append("events", GOOD[0]),
    ):
        with pytest.raises(ClosedError, match="closed"):
            use()


def test_a_finished_matcher_refuses_and_can_be_saved() -> None:
    for taken in (0, 3):
        matcher = tc.Matcher(CLAUSE, SCHEMA)
        if taken:
            matcher.push(GOOD[0])
        assert matcher.finish().num_rows == (1 if taken else 0)
        for again in (matcher, pickle.loads(pickle.dumps(matcher))):
            for use in (lambda m=again: m.push(GOOD[1]), lambda m=again: m.push(GOOD[1].slice(0, 0))):
                with pytest.raises(ClosedError, match="the matcher has seen the end of its input"):
                    use()
            with pytest.raises(ClosedError, match="the matcher has seen the end of its input"):
                again.advance(100)
            assert again.finish().num_rows == 0
            assert again.sequence == taken
