"""A matcher is saved between any two batches, in whatever shape its partitions are then."""

import pickle

import pyarrow as pa

import tocsin

SCHEMA = pa.schema([("k", pa.int64()), ("x", pa.int64())])
CLAUSE = "PARTITION BY k MEASURES FIRST(a.x) AS first, COUNT(*) AS rows PATTERN (a b+) DEFINE a AS x = 1, b AS x = 2"


def push(matcher: tocsin.Matcher, x: int, keys: range) -> list[dict[str, int]]:
    found = matcher.push({"k": list(keys), "x": [x] * len(keys)}).to_pylist()
    return sorted(found, key=lambda match: match["k"])


def test_partitions_whose_attempts_all_failed_are_no_part_of_the_state():
    keys = range(300)
    used, fresh = tocsin.Matcher(CLAUSE, SCHEMA), tocsin.Matcher(CLAUSE, SCHEMA)
    assert push(used, 1, keys) == []
    assert push(used, 0, keys[:299]) == []  # every attempt but one fails
    used = pickle.loads(pickle.dumps(used))
    push(fresh, 1, keys[299:])
    for matcher in (used, fresh):
        push(matcher, 2, keys)
    assert push(used, 1, keys) == push(fresh, 1, keys) == [{"k": 299, "first": 1, "rows": 2}]
