"""The demo, over a small table of flights: first run, second run, and what can be wrong between them."""

import io
import shutil
import zipfile

import pyarrow as pa
import pyarrow.feather as feather
import pytest

from tocsin.demo import DemoError, run_demo
from tocsin.demo.flights import load_flights
from tocsin.demo.picture import choose

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,"
    "origin,dest,air_time,distance,hour,minute,time_hour"
)
# One aircraft: a spiral on the first day (20, 50, 150), then down twice and up twice (a V-shape from 150).
DELAYS = [
    (1, 8, 20),
    (1, 12, 50),
    (1, 18, 150),
    (2, 8, 40),
    (2, 13, -5),
    (2, 18, 10),
    (3, 8, 130),
    (3, 12, None),
]


def line(day, hour, delay, tail):
    late = "NA" if delay is None else delay
    return (
        f"2013,7,{day},NA,{hour}30,{late},NA,NA,{late},UA,1,{tail},EWR,BOS,NA,200,{hour},30,"
        f"2013-07-{day:02}T{hour + 4:02}:00:00Z"
    )


@pytest.fixture
def flights(tmp_path):
    lines = [HEADER]
    lines += [line(day, hour, delay, "N1") for day, hour, delay in DELAYS]
    lines += [line(day, hour, 0, "NA") for day, hour, _ in DELAYS]
    path = tmp_path / "flights.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("flights.csv", "\n".join(lines) + "\n")
    return load_flights(path)


def run(tmp_path, flights):
    text = io.StringIO()
    run_demo(tmp_path / "demo.store", tmp_path / "out", flights=flights, file=text)
    return text.getvalue()


def test_flights_become_events_in_order_of_scheduled_departure(flights):
    assert flights.num_rows == 16
    times = flights["ts"].cast(pa.int64()).to_pylist()
    assert times == sorted(times)
    first = flights.slice(0, 1).to_pylist()[0]
    assert str(first["local"]) == "2013-07-01 08:30:00"
    assert first["ts"].isoformat() == "2013-07-01T12:30:00+00:00"
    assert flights["tailnum"].null_count == 8
    assert flights["dep_delay"].null_count == 1


def test_first_run_matches_and_stores(tmp_path, flights):
    pytest.importorskip("matplotlib")
    text = run(tmp_path, flights)
    words = " ".join(text.split())
    assert "very_late 2 matches" in words
    assert "spiral 1 matches" in words
    assert "v_shape 1 matches" in words
    assert "new, 16 events" in text
    spiral = feather.read_table(tmp_path / "out" / "spiral.arrow").to_pylist()[0]
    assert (spiral["tailnum"], spiral["legs"], spiral["first_delay"], spiral["last_delay"]) == (
        "N1",
        3,
        20,
        150,
    )
    assert (tmp_path / "out" / "aircraft.png").read_bytes().startswith(b"\x89PNG")


def test_second_run_replays_the_store_to_the_same_matches(tmp_path, flights):
    run(tmp_path, flights)
    text = run(tmp_path, flights)
    assert "it still has all 16 events" in text
    assert "the replay gave the same 4 matches as the first run and the store" in text


def test_without_the_first_matches_the_replay_is_compared_with_one_batch(tmp_path, flights):
    run(tmp_path, flights)
    shutil.rmtree(tmp_path / "out")
    assert "as a run over the same events as one batch" in run(tmp_path, flights)


def test_an_interrupted_first_run_is_replayed_as_far_as_it_came(tmp_path, flights):
    run(tmp_path, flights.slice(0, 10))
    assert "the first 10 (the run that filled it was interrupted) of 16 events" in run(tmp_path, flights)


def test_other_events_in_the_store_are_refused(tmp_path, flights):
    run(tmp_path, flights)
    other = flights.set_column(8, "arr_delay", pa.nulls(flights.num_rows, pa.int64()))
    with pytest.raises(DemoError, match="holds other events"):
        run(tmp_path, other)


def test_changed_matches_are_noticed(tmp_path, flights):
    run(tmp_path, flights)
    path = str(tmp_path / "out" / "spiral.arrow")
    table = feather.read_table(path, memory_map=False)
    feather.write_feather(table.slice(0, 0), path)
    with pytest.raises(DemoError, match="other matches of spiral"):
        run(tmp_path, flights)


def test_no_picture_without_a_spiral():
    nothing = pa.table({"tailnum": pa.array([], pa.string())})
    assert choose(nothing, nothing) is None
