"""backtest: for each combination what one call over the whole table gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tocsin as tc


def prices(n: int = 4000, keys: int = 7) -> pa.Table:
    r = np.random.default_rng(5)
    return pa.table(
        {
            "t": np.arange(n),
            "key": r.integers(0, keys, n),
            "x": r.integers(0, 100, n),
            "y": r.integers(0, 3, n),
        }
    )


def clause(below: int, times: int) -> str:
    return (
        f"PARTITION BY key ORDER BY t MEASURES b.t AS t, COUNT(a.*) AS n PATTERN (a{{{times},}} b) "
        f"DEFINE a AS x < {below}, b AS x > 90"
    )


GRID = {"below": [10, 50, 80], "times": [1, 2, 4]}


@pytest.mark.parametrize("rows", [1, 333, 10_000])
def test_each_combination_finds_what_it_finds_alone(rows: int) -> None:
    table = prices()
    found = tc.backtest(clause, pa.table(table).to_reader(max_chunksize=rows), GRID)
    assert found.schema.names == ["below", "times", "matches", "faults", "seconds", "events_per_second"]
    assert found.num_rows == 9
    for row in found.to_pylist():
        alone = tc.match_recognize(table, clause(row["below"], row["times"]))
        assert row["matches"] == alone.num_rows > 0
        assert row["faults"] == 0
        assert row["seconds"] > 0
        assert row["events_per_second"] == pytest.approx(4000 / row["seconds"])


def test_combinations_may_be_given_one_by_one_and_patterns_may_read_the_match() -> None:
    def pattern(factor: int, skip: str) -> str:
        return (
            "PARTITION BY key ORDER BY t MEASURES b.x AS x "
            f"AFTER MATCH SKIP {skip} PATTERN (a b) DEFINE b AS b.x > {factor} * a.x"
        )

    settings = [{"factor": 2, "skip": "TO NEXT ROW"}, {"factor": 3, "skip": "PAST LAST ROW"}]
    found = tc.backtest(pattern, prices(), settings)
    assert found.column("factor").to_pylist() == [2, 3]
    assert found.column("matches").to_pylist() == [
        tc.match_recognize(prices(), pattern(**values)).num_rows for values in settings
    ]


def test_conditions_as_text_and_as_expressions() -> None:
    x = prices()["x"].to_numpy()
    grid = {"least": [0, 50, 99, 100]}
    expected = [int((x >= least).sum()) for least in grid["least"]]
    assert tc.backtest(lambda least: f"x >= {least}", prices(), grid)["matches"].to_pylist() == expected
    assert tc.backtest(lambda least: tc.col("x") >= least, prices(), grid)["matches"].to_pylist() == expected
    assert tc.backtest(lambda least: f"x >= {least}", {"x": x}, grid)["matches"].to_pylist() == expected


def test_over_a_store(tmp_path: Path) -> None:
    table = prices()
    with tc.Store(tmp_path / "s.store") as store:
        store.create_stream("s", table.schema, time="t")
        for batch in table.to_batches(max_chunksize=500):
            store.append("s", batch)
        found = tc.backtest(clause, store.scan("s", start=1000, stop=3000), GRID)
    assert found["matches"].to_pylist() == [
        tc.match_recognize(table.slice(1000, 2000), clause(below, times)).num_rows
        for below in GRID["below"]
        for times in GRID["times"]
    ]


def test_a_match_without_a_value_is_counted_and_left_out() -> None:
    def pattern(over: int) -> str:
        return f"ORDER BY t MEASURES {over} / a.y AS q PATTERN (a) DEFINE a AS a.x >= 0"

    table = prices(500)
    found = tc.backtest(pattern, table.to_reader(max_chunksize=40), {"over": [1, 2]})
    zeros = int((table["y"].to_numpy() == 0).sum())
    assert found["faults"].to_pylist() == [zeros, zeros]
    assert found["matches"].to_pylist() == [500 - zeros, 500 - zeros]


def test_a_condition_without_a_value_ends_it_and_says_where() -> None:
    with pytest.raises(tc.EvaluationError) as caught:
        tc.backtest(lambda over: f"{over} / y > 0", prices(), {"over": [1]})
    assert "with {'over': 1}, events 0 to 3999" in str(caught.value.__notes__)
    backwards = pa.table({"t": [2, 1], "x": [1, 1]})
    with pytest.raises(tc.OrderError) as late:
        tc.backtest(lambda n: f"ORDER BY t PATTERN (a{{{n}}}) DEFINE a AS x > 0", backwards, {"n": [1]})
    assert "{'n': 1}" in str(late.value.__notes__)


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({}, "no combination"),
        ([], "no combination"),
        ({"below": []}, "no combination"),
        ([{"below": 1, "times": 2}, {"below": 1}], "different names"),
        ({"matches": [1]}, "matches"),
    ],
)
def test_wrong_grids_are_named(grid: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tc.backtest(clause, prices(10), grid)


def test_a_wrong_pattern_names_its_values_before_anything_is_read() -> None:
    def never() -> Any:
        raise AssertionError("read")
        yield

    reader = pa.RecordBatchReader.from_batches(prices(1).schema, never())
    with pytest.raises(tc.PatternError) as caught:
        tc.backtest(lambda column: f"{column} > 1", reader, {"column": ["x", "z"]})
    assert "with {'column': 'z'}" in str(caught.value.__notes__)
