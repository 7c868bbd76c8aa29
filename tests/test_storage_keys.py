"""Look-ups by key: the rows are those of a full scan, and batches that cannot have the key are not read."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tocsin as tc
from tocsin.storage.frame import decode_frame
from tocsin.storage.keys import hashes_of, make_filter

SCHEMA = pa.schema(
    [
        ("ts", pa.int64()),
        ("account", pa.int64()),
        ("name", pa.string()),
        ("kind", pa.dictionary(pa.int8(), pa.string())),
    ]
)
LOOKUP = ("account", "name", "kind")


def events(first: int, accounts: list[int | None]) -> pa.RecordBatch:
    names = [None if a is None else f"name {a}" for a in accounts]
    kinds = pa.array([None if a is None else f"kind {a % 5}" for a in accounts])
    return pa.record_batch(
        {
            "ts": pa.array(range(first, first + len(accounts))),
            "account": pa.array(accounts, pa.int64()),
            "name": pa.array(names, pa.string()),
            "kind": kinds.dictionary_encode().cast(SCHEMA.field("kind").type),
        },
        schema=SCHEMA,
    )


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first sequences of the batches that scans have read."""
    found: list[int] = []

    def counted(frame: pa.Buffer, schema: pa.Schema, sequence: int, rows: int, verify: bool) -> Any:
        found.append(sequence)
        return decode_frame(frame, schema, sequence, rows, verify)

    monkeypatch.setattr("tocsin.storage.scan.decode_frame", counted)
    return found


def looked_up(store: tc.Store, keys: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return store.scan("s", keys=keys, **more).read_all().to_pylist()


def test_only_the_batches_that_may_hold_the_key_are_read(tmp_path: Path, reads: list[int]) -> None:
    everything: list[dict[str, Any]] = []
    with tc.Store(tmp_path / "s", segment_bytes=200_000) as store:
        store.create_stream("s", SCHEMA, time="ts", lookup=LOOKUP)
        for n in range(200):  # each account in one batch alone, but 7, which is in every twentieth
            accounts = [1000 * n + i for i in range(100)] + ([7] if n % 20 == 0 else [])
            batch = events(len(everything), accounts)
            everything += batch.to_pylist()
            store.append("s", batch)
        for closed in (False, True):
            with tc.Store(tmp_path / "s", read_only=True) if closed else Same(store) as at:
                for keys, batches in (
                    ({"account": 7}, 10),
                    ({"account": [7, 123_042]}, 11),
                    ({"name": "name 199099"}, 1),
                    ({"account": 5, "name": "name 5"}, 1),
                    ({"account": -1}, 0),
                    ({"account": []}, 0),
                ):
                    reads.clear()
                    wanted = {c: v if isinstance(v, list) else [v] for c, v in keys.items()}
                    assert looked_up(at, keys) == [
                        row for row in everything if all(row[c] in v for c, v in wanted.items())
                    ]
                    # The filters may be wrong for one batch in fifty; a growing file read from outside has none.
                    live = 80 if closed else 0
                    assert batches <= len(reads) <= batches + 8 + live
                assert looked_up(
                    at, {"account": 7}, start=everything[10 * 100]["ts"], where=pc.field("ts") < 9000
                ) == [row for row in everything if row["account"] == 7 and 1000 <= row["ts"] < 9000]


class Same:
    def __init__(self, store: tc.Store) -> None:
        self.store = store

    def __enter__(self) -> tc.Store:
        return self.store

    def __exit__(self, *_: object) -> None:
        pass


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_look_up_gives_what_a_full_scan_gives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever happened between: new segments, closing, a crash (the files as they stood), lost or old filters."""
    root = tmp_path_factory.mktemp("keys")
    path = root / "0"
    store = tc.Store(path, segment_bytes=data.draw(st.sampled_from([1, 4000, 1 << 20])), durability="none")
    store.create_stream("s", SCHEMA, time="ts", lookup=LOOKUP)
    everything: list[dict[str, Any]] = []
    account = st.none() | st.integers(0, 30)
    for step in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(["append", "append", "append", "seal", "reopen", "crash", "lose"]))
        if what == "append":
            batch = events(len(everything), data.draw(st.lists(account, min_size=1, max_size=40)))
            everything += batch.to_pylist()
            store.append("s", batch)
        elif what == "seal":
            store.seal("s")
        elif what == "lose":
            for file in list((path / "streams" / "s").glob("*.keys"))[: data.draw(st.integers(0, 2))]:
                file.unlink()
        else:
            if what == "crash":
                copy = root / f"{step + 1}"
                shutil.copytree(path, copy)
                store.close()
                path = copy
            else:
                store.close()
            store = tc.Store(path, segment_bytes=4000, durability="none")
        key = data.draw(st.integers(0, 31))
        for keys in (
            {"account": key},
            {"name": f"name {key}"},
            {"kind": [f"kind {key % 5}", "kind 9"], "account": [key, 3]},
        ):
            wanted = {c: v if isinstance(v, list) else [v] for c, v in keys.items()}
            assert looked_up(store, keys) == [
                row for row in everything if all(row[c] in v for c, v in wanted.items())
            ]
    store.close()


def test_damaged_filters_cost_time_and_never_a_row(tmp_path: Path) -> None:
    with tc.Store(tmp_path / "s") as store:
        store.create_stream("s", SCHEMA, lookup=LOOKUP)
        everything: list[dict[str, Any]] = []
        for n in range(20):
            batch = events(len(everything), [n % 7, n, 100 + n])
            everything += batch.to_pylist()
            store.append("s", batch)
    (file,) = (tmp_path / "s" / "streams" / "s").glob("*.keys")
    whole = file.read_bytes()
    r = random.Random(3)
    for turn in range(400):
        at = r.randrange(len(whole))
        bad = whole[:at] + bytes([whole[at] ^ (1 << r.randrange(8))]) + whole[at + 1 :]
        file.write_bytes(bad if turn % 4 else whole[:at])
        with tc.Store(tmp_path / "s", read_only=True) as store:
            key = r.randrange(20)
            assert looked_up(store, {"account": key}) == [row for row in everything if row["account"] == key]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"amount": 1}, "amount.*account"),
        ({"account": "x"}, "account"),
        ({"account": None}, "null"),
        ({"account": [1, None]}, "null"),
        ({"ts": 2**70}, "ts"),
    ],
)
def test_wrong_keys_are_named(tmp_path: Path, keys: dict[str, Any], says: str) -> None:
    with tc.Store(tmp_path / "s") as store:
        store.create_stream("s", SCHEMA, lookup=["account"])
        with pytest.raises(tc.SchemaError, match=says):
            store.scan("s", keys=keys)


def test_look_up_columns_are_declared_once(tmp_path: Path) -> None:
    nested = pa.schema([("a", pa.int64()), ("b", pa.list_(pa.int64()))])
    with tc.Store(tmp_path / "s") as store:
        for lookup, says in ((["c"], "'c'"), (["a", "a"], "twice"), (["b"], "nested")):
            with pytest.raises(tc.SchemaError, match=says):
                store.create_stream("s", nested, lookup=lookup)
        store.create_stream("s", SCHEMA, lookup=["account"])
        store.append("s", events(0, [1, 2]))
    with tc.Store(tmp_path / "s") as store:
        assert store.create_stream("s", SCHEMA).lookup == ("account",)
        assert store.create_stream("s", SCHEMA, lookup=["account"]).lookup == ("account",)
        with pytest.raises(tc.SchemaError, match="look-up columns"):
            store.create_stream("s", SCHEMA, lookup=["name"])
        assert looked_up(store, {"name": "name 2"}) == events(1, [2]).to_pylist()  # no filter, the same rows
        assert "tocsin.lookup" not in str(store.streams()["s"].schema.metadata)


@given(st.sets(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=2000))
def test_a_filter_has_all_its_values_and_few_others(values: set[int]) -> None:
    column = pa.array(sorted(values), pa.int64())
    k, bits = make_filter(hashes_of(column))
    flags = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")

    def has(hashes: Any) -> Any:
        low = [
            (hashes + np.uint64(p) * ((hashes >> np.uint64(32)) | np.uint64(1))) & np.uint64((1 << k) - 1)
            for p in range(4)
        ]
        return np.logical_and.reduce([flags[places] == 1 for places in low])

    assert has(hashes_of(column)).all()
    others = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 4000)
    others = others[~np.isin(others, column.to_numpy())]
    assert has(hashes_of(pa.array(others))).mean() < 0.06
