"""Text that a producer lays out in another way than the stream declares: what comes out has the declared type."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import tocsin as tc

LONG = "longer than the twelve bytes that a view holds itself"
TEXTS = ["a", LONG, None, "", "a"]
LAYOUTS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.uint32(), pa.large_string()),
]
ROWS = [{"k": k, "n": n} for n, k in enumerate(TEXTS)]


def events(layout: pa.DataType, start: int = 0) -> pa.RecordBatch:
    texts = pa.array(TEXTS)
    column = texts.dictionary_encode().cast(layout) if pa.types.is_dictionary(layout) else texts.cast(layout)
    return pa.record_batch({"k": column, "n": pa.array(range(start, start + len(TEXTS)))})


def schema_of(layout: pa.DataType) -> pa.Schema:
    return pa.schema([("k", layout), ("n", pa.int64())])


@pytest.mark.parametrize(("declared", "given"), list(itertools.product(LAYOUTS, LAYOUTS)))
@pytest.mark.parametrize("condition", ["n >= 0", "n < 2", "k = 'a' OR n = 1"])
@pytest.mark.parametrize("workers", [0, 1])
def test_rows_that_pass_come_in_the_declared_type(
    declared: pa.DataType, given: pa.DataType, condition: str, workers: int
) -> None:
    passing: dict[str, Any] = {
        "n >= 0": ROWS,
        "n < 2": ROWS[:2],
        "k = 'a' OR n = 1": [ROWS[0], ROWS[1], ROWS[4]],
    }
    batches: list[pa.RecordBatch] = []
    rows: list[dict[str, Any]] = []
    further: list[pa.RecordBatch] = []
    with tc.Engine(workers=workers) as engine:
        stream = engine.stream("s", schema_of(declared))
        trigger = engine.trigger("t", stream, condition)
        trigger.handler(batches.append)
        trigger.handler(rows.append, per_match=True)
        engine.trigger("upon", trigger, "n = 1").handler(further.append)
        pulled = trigger.matches()
        stream.push(events(given))
        stream.push(events(declared))
        engine.flush()
    for batch in (*batches, *further, *pulled):
        batch.validate(full=True)
        assert batch.schema.equals(schema_of(declared))
    assert [row for batch in batches for row in batch.to_pylist()] == 2 * passing[condition]
    assert rows == 2 * passing[condition]
    assert [row for batch in further for row in batch.to_pylist()] == 2 * [ROWS[1]]


@pytest.mark.parametrize("given", LAYOUTS)
def test_what_a_library_computes_reads_the_layout_that_came(given: pa.DataType) -> None:
    found: list[dict[str, Any]] = []
    matched: list[dict[str, Any]] = []
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", schema_of(pa.string()))
        engine.trigger("t", stream, "UPPER(k) = 'A'").handler(found.append, per_match=True)
        clause = "MEASURES b.k AS k PATTERN (a b) DEFINE a AS UPPER(a.k) = 'A', b AS LENGTH(b.k) > 12"
        engine.trigger("p", stream, clause).handler(matched.append, per_match=True)
        stream.push(events(given))
    assert found == [ROWS[0], ROWS[4]]
    assert matched == [{"k": LONG}]


@pytest.mark.parametrize("given", LAYOUTS)
def test_a_matcher_reads_the_layout_that_came(given: pa.DataType) -> None:
    clause = "MEASURES b.k AS k PATTERN (a b) DEFINE a AS UPPER(a.k) = 'A', b AS LENGTH(b.k) > 12"
    matcher = tc.Matcher(clause, schema_of(pa.string()))
    assert matcher.push(events(given)).to_pylist() == [{"k": LONG}]


def test_lists_of_other_texts_are_read_as_what_they_are() -> None:
    """The layout inside a nested column counts too: a refused batch comes back as it came."""
    schema = pa.schema([("n", pa.int64()), ("tags", pa.list_(pa.string()))])
    clause = "MEASURES 10 / a.n AS x PATTERN (a) DEFINE a AS 10 / a.n > 0"
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", schema)
        engine.trigger("t", stream, clause)
        for inner in (pa.large_string(), pa.string(), pa.large_string()):
            tags = pa.array([["x", LONG], None], pa.list_(inner))
            with pytest.raises(tc.TocsinError, match="division"):
                stream.push(pa.record_batch({"n": pa.array([0, 1]), "tags": tags}))
        letters = engine.dead_letters("t")
        for letter, inner in zip(letters, (pa.large_string(), pa.string(), pa.large_string()), strict=True):
            assert letter.rows is not None
            assert letter.rows.schema.field("tags").type == pa.list_(inner)
            assert letter.rows.to_pylist() == [{"n": 0, "tags": ["x", LONG]}, {"n": 1, "tags": None}]


def test_polars_and_a_store(tmp_path: Path) -> None:
    with tc.Engine(tmp_path / "s.store") as engine:
        stream = engine.stream("s", schema_of(pa.string()))
        engine.trigger("t", stream, tc.col("n") >= 1)
        stream.push(pl.DataFrame({"k": TEXTS, "n": range(len(TEXTS))}))
        engine.flush()
    with tc.Store(tmp_path / "s.store") as store:
        assert store.scan("s").read_all().to_pylist() == ROWS


def test_more_values_than_the_declared_dictionary_can_number(tmp_path: Path) -> None:
    narrow = schema_of(pa.dictionary(pa.int8(), pa.string()))
    texts = [str(n) for n in range(200)]
    batch = pa.record_batch({"k": pa.array(texts), "n": pa.array(range(200))})
    found: list[pa.RecordBatch] = []
    with tc.Engine(workers=0) as engine:
        stream = engine.stream("s", narrow)
        engine.trigger("t", stream, "n >= 0").handler(found.append)
        stream.push(batch)
    assert [row["k"] for row in found[0].to_pylist()] == texts
    with tc.Engine(tmp_path / "s.store", workers=0) as engine:
        stream = engine.stream("s", narrow)
        with pytest.raises(tc.SchemaError, match=r"column 'k'.*int8"):
            stream.push(batch)
        assert stream.sequence == 0
