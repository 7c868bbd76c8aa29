"""A PostgreSQL table as the target: types, tables that are there, transactions, servers that go away."""

from __future__ import annotations

import datetime as dt
import itertools
import signal
from decimal import Decimal

import pyarrow as pa
import pytest

import tocsin as tc
from sync_support import SEQUENCE, append, rows_of, wait_until
from tocsin.sync import PostgresTarget, SyncError, start

SCHEMA = pa.schema([("ts", pa.timestamp("us")), ("price", pa.float64()), ("word", pa.string())])
_numbers = itertools.count()


@pytest.fixture
def table(postgres):
    """The name of a table that nobody has."""
    name = f"t{next(_numbers)}"
    yield name
    postgres.query(f'DROP TABLE IF EXISTS "{name}"')


@pytest.fixture
def store(tmp_path):
    with tc.Store(tmp_path / "a.store") as store:
        store.create_stream("s", SCHEMA, time="ts")
        yield store


def read(postgres, table):
    return postgres.query(f"SELECT {SEQUENCE}, price, word FROM {table} ORDER BY {SEQUENCE}")


def test_rows_arrive_and_the_position_with_them(store, postgres, table):
    append(store, 100)
    with start(store, "s", PostgresTarget(postgres.uri, table)) as sync:
        sync.wait(timeout=60)
        assert sync.position == 100
        append(store, 50)
        sync.wait(timeout=60)
    assert read(postgres, table) == rows_of(store)
    assert postgres.query(f"SELECT source, position FROM tocsin_positions WHERE target = '{table}'") == [
        ("streams/s", 150)
    ]
    append(store, 10)
    start(store, "s", PostgresTarget(postgres.uri, table)).close()
    assert read(postgres, table) == rows_of(store)
    assert len(read(postgres, table)) == 160


def test_a_text_names_database_schema_and_table(store, postgres, table):
    append(store, 5)
    postgres.query("CREATE SCHEMA IF NOT EXISTS here")
    start(store, "s", f"{postgres.uri}#here.{table}").close()
    start(store, "s", f"{postgres.uri}#{table}").close()
    assert read(postgres, f"here.{table}") == read(postgres, table) == rows_of(store)
    with pytest.raises(SyncError, match="no schema 'nowhere'; make it first"):
        start(store, "s", f"{postgres.uri}#nowhere.{table}")


def test_names_that_need_quotes(tmp_path, postgres):
    schema = pa.schema([('a "b"', pa.int64()), ("Ä ö", pa.int64()), ("select", pa.int64())])
    with tc.Store(tmp_path / "q.store") as store:
        store.create_stream("s", schema)
        store.append("s", {name: [1, 2] for name in schema.names})
        for _ in range(2):
            start(store, "s", PostgresTarget(postgres.uri, 'It\'s "x"')).close()
    found = postgres.table('SELECT * FROM "It\'s ""x"""')
    assert found.to_pydict() == {**{name: [1, 2] for name in schema.names}, SEQUENCE: [0, 1]}
    postgres.query('DROP TABLE "It\'s ""x"""')


UTC = dt.UTC
NOON = dt.datetime(2026, 1, 1, 12, 30, 15)
TYPES = {
    "bool": (pa.bool_(), [True, False, None], "boolean"),
    "int8": (pa.int8(), [-128, 127, None], "smallint"),
    "int16": (pa.int16(), [-(2**15), 2**15 - 1, None], "smallint"),
    "int32": (pa.int32(), [-(2**31), 2**31 - 1, None], "integer"),
    "int64": (pa.int64(), [-(2**63), 2**63 - 1, None], "bigint"),
    "uint8": (pa.uint8(), [0, 255, None], "smallint"),
    "uint16": (pa.uint16(), [0, 2**16 - 1, None], "integer"),
    "uint32": (pa.uint32(), [0, 2**32 - 1, None], "bigint"),
    "uint64": (pa.uint64(), [0, 2**64 - 1, None], "numeric(20,0)"),
    "float32": (pa.float32(), [1.5, float("-inf"), None], "real"),
    "float64": (pa.float64(), [0.1, float("inf"), None], "double precision"),
    "text": (pa.string(), ["", "ä'\"\\\n\t€", None], "text"),
    "large": (pa.large_string(), ["", "x" * 70_000, None], "text"),
    "view": (pa.string_view(), ["", "longer than twelve", None], "text"),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["a", "b", None], "text"),
    "bytes": (pa.binary(), [b"", b"\0\xff", None], "bytea"),
    "fixed": (pa.binary(2), [b"\0\xff", b"ab", None], "bytea"),
    "date": (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31), None], "date"),
    "date64": (pa.date64(), [dt.date(1969, 12, 31), dt.date(2026, 1, 1), None], "date"),
    "time": (pa.time32("s"), [dt.time(0), dt.time(23, 59, 59), None], "time without time zone"),
    "seconds": (pa.timestamp("s"), [dt.datetime(1, 1, 1), NOON, None], "timestamp without time zone"),
    "micros": (
        pa.timestamp("us"),
        [NOON, dt.datetime(1969, 1, 1, 0, 0, 0, 7), None],
        "timestamp without time zone",
    ),
    "nanos": (
        pa.timestamp("ns"),
        [NOON, dt.datetime(1969, 1, 1, 0, 0, 0, 7), None],
        "timestamp without time zone",
    ),
    "zone": (
        pa.timestamp("ms", "Europe/Berlin"),
        [NOON.replace(tzinfo=UTC), dt.datetime(1969, 1, 1, tzinfo=UTC), None],
        "timestamp with time zone",
    ),
    "duration": (
        pa.duration("ms"),
        [dt.timedelta(days=3, milliseconds=5), dt.timedelta(-1), None],
        "interval",
    ),
    "decimal": (pa.decimal128(12, 3), [Decimal("-123456789.123"), Decimal("0.001"), None], "numeric(12,3)"),
    "wide": (pa.decimal256(60, 2), [Decimal("9" * 58 + ".99"), Decimal(0), None], "numeric(60,2)"),
    "hundreds": (pa.decimal128(5, -2), [Decimal("1234500"), Decimal("-100"), None], "numeric(7,0)"),
    "list": (pa.list_(pa.int64()), [[1, None, 3], [], None], "bigint[]"),
    "texts": (pa.list_(pa.string()), [["a", None], [], None], "text[]"),
    "nothing": (pa.null(), [None, None, None], "text"),
}


@pytest.mark.parametrize("kind", TYPES)
def test_values_of_every_type(kind, tmp_path, postgres, table):
    arrow, values, sql = TYPES[kind]
    with tc.Store(tmp_path / "t.store") as store:
        store.create_stream("s", pa.schema([("v", arrow)]))
        column = (
            pa.array(values, arrow.value_type).cast(arrow)
            if pa.types.is_dictionary(arrow)
            else pa.array(values, arrow)
        )
        store.append("s", pa.table({"v": column}))
        for _ in range(2):  # the second time the table is there, and is checked
            start(store, "s", PostgresTarget(postgres.uri, table)).close()
    found = postgres.table(
        f"SELECT v, format_type(a.atttypid, a.atttypmod) FROM {table}, pg_attribute a "
        f"WHERE a.attrelid = '{table}'::regclass AND a.attname = 'v' ORDER BY {SEQUENCE}"
    )
    assert found.column(1).to_pylist() == [sql] * 3
    back = found.column(0).to_pylist()
    if sql.startswith("numeric"):
        assert [None if text is None else Decimal(text) for text in back] == [
            None if value is None else Decimal(value) for value in values
        ]
    elif sql == "interval":
        assert [
            None if v is None else dt.timedelta(v.days, microseconds=v.nanoseconds / 1000) for v in back
        ] == values
    else:
        assert back == values


@pytest.mark.parametrize(
    "kind",
    [
        pa.struct([("a", pa.int64())]),
        pa.map_(pa.string(), pa.int64()),
        pa.list_(pa.timestamp("ns")),
        pa.list_(pa.list_(pa.int64())),
        pa.month_day_nano_interval(),
        pa.decimal256(76, -2),
    ],
    ids=str,
)
def test_what_cannot_go_is_refused_by_name_and_nothing_is_made(kind, tmp_path, postgres, table):
    with tc.Store(tmp_path / "t.store") as store:
        store.create_stream("s", pa.schema([("fine", pa.int64()), ("odd one", kind)]))
        with pytest.raises(SyncError, match=r"column 'odd one' is .*cannot be kept there"):
            start(store, "s", PostgresTarget(postgres.uri, table))
    assert postgres.query(f"SELECT to_regclass('{table}')::text") == [(None,)]


def test_names_that_postgresql_would_cut_are_refused(tmp_path, postgres):
    with tc.Store(tmp_path / "t.store") as store:
        store.create_stream("s", pa.schema([("c" * 64, pa.int64())]))
        with pytest.raises(SyncError, match=r"'c{64}' cannot be a column's name"):
            start(store, "s", PostgresTarget(postgres.uri, "short"))
        store.create_stream("t" * 64, pa.schema([("c", pa.int64())]))
        with pytest.raises(SyncError, match="the table's name is longer than 63 bytes"):
            start(store, "t" * 64, PostgresTarget(postgres.uri))


@pytest.mark.parametrize("unit", ["timestamp", "time64", "duration"])
def test_nanoseconds_are_refused_cut_or_kept_as_numbers(unit, tmp_path, postgres, table):
    kind = getattr(pa, unit)("ns")
    with tc.Store(tmp_path / "t.store") as store:
        store.create_stream("s", pa.schema([("v", kind)]))
        store.append("s", pa.table({"v": pa.array([5_000, 1_234_567, None], pa.int64()).cast(kind)}))
        with pytest.raises(SyncError, match=r"column 'v' .* among events 0 to 2 .*nanoseconds=\"truncate\""):
            start(store, "s", PostgresTarget(postgres.uri, table)).wait(timeout=60)
        assert postgres.query(f"SELECT count(*) FROM {table}") == [(0,)]
        postgres.query(f"DROP TABLE {table}")
        postgres.query(f"DELETE FROM tocsin_positions WHERE target = '{table}'")
        start(store, "s", PostgresTarget(postgres.uri, table, nanoseconds="bigint")).close()
        assert postgres.query(f"SELECT v FROM {table} ORDER BY {SEQUENCE}") == [
            (5_000,),
            (1_234_567,),
            (None,),
        ]
        start(store, "s", PostgresTarget(postgres.uri, f"{table}c", nanoseconds="truncate")).close()
        micros = postgres.query(
            f"SELECT (extract(epoch from v) * 1000000)::bigint FROM {table}c ORDER BY {SEQUENCE}"
        )
        assert micros == [(5,), (1_234,), (None,)]
        postgres.query(f"DROP TABLE {table}c")


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (pa.timestamp("us"), -(2**63) + 1, r"has the value -9223372036854775807 \(microseconds since 1970\)"),
        (pa.timestamp("s"), 2**62, "would result in out of bounds"),
        (pa.date32(), -(2**31), r"has the value -2147483648 \(days since 1970\)"),
        (pa.string(), "a\0b", 'invalid byte sequence for encoding "UTF8": 0x00.*column v'),
    ],
)
def test_a_value_that_cannot_go_stops_the_sync_with_its_place(
    kind, value, message, tmp_path, postgres, table
):
    with tc.Store(tmp_path / "t.store") as store:
        store.create_stream("s", pa.schema([("v", kind)]))
        column = pa.array([value], pa.int64() if isinstance(value, int) and kind != pa.date32() else None)
        store.append(
            "s",
            pa.table({"v": column.cast(pa.int32()).cast(kind) if kind == pa.date32() else column.cast(kind)}),
        )
        sync = start(store, "s", PostgresTarget(postgres.uri, table))
        with pytest.raises(SyncError, match=message):
            sync.wait(timeout=60)
        assert sync.state == "failed"
        sync.close()
    assert postgres.query(f"SELECT count(*) FROM {table}") == [(0,)]
    assert postgres.query(f"SELECT position FROM tocsin_positions WHERE target = '{table}'") == [(0,)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("price real, word text, ts timestamp", "column 'price' is real there, double precision is needed"),
        ("price double precision, ts timestamp", r"column 'word' \(text\) is missing"),
        (
            "price double precision, word text, ts timestamptz",
            "column 'ts' is timestamp with time zone there",
        ),
        (
            "price double precision, word text, ts timestamp, more int not null",
            r"column 'more' \(integer\) is not in the source, takes no NULL",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused(columns, message, store, postgres, table):
    postgres.query(f"CREATE TABLE {table} ({columns}, {SEQUENCE} bigint)")
    with pytest.raises(SyncError, match=message):
        start(store, "s", PostgresTarget(postgres.uri, table))
    assert postgres.query(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_table_of_ones_own_with_more_columns_in_another_order(store, postgres, table):
    postgres.query(
        f"CREATE TABLE {table} (id serial, {SEQUENCE} bigint, word varchar, note text, price float, ts timestamp)"
    )
    append(store, 20)
    start(store, "s", PostgresTarget(postgres.uri, table)).close()
    assert read(postgres, table) == rows_of(store)


def test_rows_whose_events_are_not_known_are_refused(store, postgres, table):
    postgres.query(f"CREATE TABLE {table} (ts timestamp, price float, word text, {SEQUENCE} bigint)")
    postgres.query(f"INSERT INTO {table} VALUES (now(), 1, 'x', 1)")
    with pytest.raises(SyncError, match="has rows, and tocsin_positions does not say which events they are"):
        start(store, "s", PostgresTarget(postgres.uri, table))


def test_the_table_of_another_source_is_refused(store, postgres, table):
    append(store, 3)
    start(store, "s", PostgresTarget(postgres.uri, table)).close()
    store.create_stream("other", SCHEMA)
    with pytest.raises(SyncError, match="keeps 'streams/s', not 'streams/other'"):
        start(store, "other", PostgresTarget(postgres.uri, table))


def test_a_dropped_table_is_not_begun_anew_in_silence(store, postgres, table):
    append(store, 3)
    start(store, "s", PostgresTarget(postgres.uri, table)).close()
    postgres.query(f"DROP TABLE {table}")
    with pytest.raises(
        SyncError, match="is gone, but its position 3 is not; to begin anew: DELETE FROM"
    ) as refused:
        start(store, "s", PostgresTarget(postgres.uri, table))
    postgres.query(str(refused.value).partition("to begin anew: ")[2])
    start(store, "s", PostgresTarget(postgres.uri, table)).close()
    assert read(postgres, table) == rows_of(store)


def test_a_second_sync_waits_for_the_first_and_goes_on_behind_it(store, postgres, table):
    append(store, 10)
    first = start(store, "s", PostgresTarget(postgres.uri, table))
    second = start(store, "s", PostgresTarget(postgres.uri, table), retry_max=0.1)
    assert second.state == "waiting"
    assert "another sync writes to it (server process " in str(second.error)
    first.wait(timeout=60)
    first.close()
    append(store, 10)
    second.wait(timeout=60)
    second.close()
    assert read(postgres, table) == rows_of(store)


def test_without_the_lock_the_position_still_decides(store, postgres, table, monkeypatch):
    """As behind a pooler that gives each transaction another session: two syncs, and neither has the lock."""
    monkeypatch.setattr(PostgresTarget, "_take_lock", lambda self: None)
    syncs = [start(store, "s", PostgresTarget(postgres.uri, table), rows=7, interval=0.001) for _ in range(3)]
    for _ in range(20):
        append(store, 20)
    for sync in syncs:
        sync.wait(timeout=120)
        sync.close()
    assert read(postgres, table) == rows_of(store)


def test_a_server_that_is_not_there_is_waited_for(store, postgres, table, caplog):
    append(store, 10)
    uri = postgres.uri.replace(f":{postgres.port}/", ":1/")
    sync = start(store, "s", PostgresTarget(uri, table), retry_max=0.1)
    assert sync.state == "waiting"
    assert sync.position is None
    assert sync.lag == 10
    sync._runner.target._uri = postgres.uri  # it comes up
    sync.wait(timeout=60)
    sync.close()
    assert "next attempt in 0.1 s" in caplog.text
    assert "tocsin:***" not in caplog.text.replace("tocsin: ", "")
    assert postgres.uri.split(":")[2].split("@")[0] not in caplog.text
    assert read(postgres, table) == rows_of(store)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=lambda how: how.name)
def test_a_server_that_is_restarted_or_killed_while_rows_flow(how, store, postgres, table):
    with start(
        store, "s", PostgresTarget(postgres.uri, table), rows=50, interval=0.001, retry_max=0.1
    ) as sync:
        for _ in range(3):
            before = sync.position
            for _ in range(20):
                append(store, 30)
            wait_until(lambda at=before: sync.position > at)
            postgres.stop(how)
            for _ in range(5):
                append(store, 30)
            wait_until(lambda: sync.state == "waiting")
            postgres.start()
        sync.wait(timeout=120)
        assert sync.state == "running"
    assert read(postgres, table) == rows_of(store)


def test_a_session_that_the_server_ends_is_made_anew(store, postgres, table):
    with start(
        store, "s", PostgresTarget(postgres.uri, table), rows=10, interval=0.001, retry_max=0.05
    ) as sync:
        for _ in range(10):
            append(store, 100)
            postgres.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tocsin sync'"
            )
        sync.wait(timeout=120)
    assert read(postgres, table) == rows_of(store)


def test_no_session_is_left_idle_in_a_transaction(store, postgres, table):
    append(store, 10)
    with start(store, "s", PostgresTarget(postgres.uri, table)) as sync:
        sync.wait(timeout=60)
        states = postgres.query("SELECT state FROM pg_stat_activity WHERE application_name = 'tocsin sync'")
        assert states == [("idle",)]


def test_matches_of_a_trigger_flow_out_of_an_engine(tmp_path, postgres, table):
    with tc.Engine(tmp_path / "e.store") as engine:
        stream = engine.stream("trades", SCHEMA, time="ts")
        large = engine.trigger("large", stream, tc.col("price") > 5)
        events = engine.sync(stream, f"{postgres.uri}#{table}")
        matches = engine.sync(large, f"{postgres.uri}#{table}_large")
        stream.push({"ts": [NOON] * 4, "price": [1.0, 6.0, 7.0, 2.0], "word": list("abcd")})
    assert events.state == matches.state == "closed"
    assert [row[1:] for row in read(postgres, table)] == [(1.0, "a"), (6.0, "b"), (7.0, "c"), (2.0, "d")]
    assert [row[1:] for row in read(postgres, f"{table}_large")] == [(6.0, "b"), (7.0, "c")]
    postgres.query(f"DROP TABLE {table}_large")
