"""The library computes what the kernel does, wherever a tree is cut between them, and loses no fault and no row."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import expression_fuzz as xf
from tocsin.compile import compile_clause, compile_condition
from tocsin.compile.ir import Node, Nodes, can_fault, kernel_kind
from tocsin.compile.library import Computation, Measuring, evaluate
from tocsin.errors import EvaluationError

SCHEMA = pa.schema({name: type for name, (type, _, _) in xf.COLUMNS.items()})


def cut(root: Node, where: frozenset[int]) -> Node:
    """The same tree, with a call that changes nothing around the nodes that stand at `where` in the walk."""
    nodes, made = Nodes(), dict[int, Node]()
    stack, number = [(root, False)], 0
    while stack:
        node, ready = stack.pop()
        if id(node) in made:
            continue
        if node.args and not ready:
            stack.append((node, True))
            stack.extend((a, False) for a in node.args)
            continue
        new = nodes.make(node.op, node.type, tuple(made[id(a)] for a in node.args), node.attr)
        number += 1
        if number in where and node.op != "const" and kernel_kind(node.type) is not None:
            if can_fault(new):
                value = nodes.make("call", node.type, (new,), ("attempt",))
                fine = nodes.make("call", pa.bool_(), (new,), ("fine",))
                new = nodes.make("check", node.type, (value, fine), "no value")
            else:
                yes = nodes.make("const", pa.bool_(), (), True)
                new = nodes.make("call", node.type, (yes, new, new), ("if",))
        made[id(node)] = new
    return made[id(root)]


def computed(node: Node, data: dict[str, list[Any]]) -> list[Any] | None:
    arrays = [xf.array(name, data[name]) for name in xf.COLUMNS]
    n = len(arrays[0])
    try:
        return evaluate(node, lambda c: arrays[c.attr[0]], n).to_pylist()  # type: ignore[index]
    except EvaluationError:
        return None


def expected(tree: xf.Tree, data: dict[str, list[Any]]) -> list[Any] | None:
    n = len(next(iter(data.values())))
    rows = [{name: xf.row_of(name, data[name][i]) for name in xf.COLUMNS} for i in range(n)]
    found = [tree.value(row) for row in rows]
    return None if xf.FAULT in found else found


def exact(value: Any) -> Any:
    """NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else (value, math.copysign(1, value))
    return value


@given(xf.conditions, xf.rows(), st.frozensets(st.integers(1, 30), max_size=6))
def test_a_condition_means_the_same_wherever_it_is_cut(
    tree: xf.Tree, data: dict[str, list[Any]], where: frozenset[int]
) -> None:
    node = compile_condition(tree.text, SCHEMA)
    assert computed(node, data) == expected(tree, data)
    assert computed(cut(node, where), data) == expected(tree, data)


@given(xf.numbers, xf.rows(), st.frozensets(st.integers(1, 30), max_size=6))
def test_a_number_is_the_same_wherever_it_is_cut(
    tree: xf.Tree, data: dict[str, list[Any]], where: frozenset[int]
) -> None:
    plan = compile_clause(f"MEASURES {tree.text} AS x PATTERN (a)", SCHEMA)
    node = plan.measures[0].node
    arrays = {name: xf.array(name, data[name]) for name in xf.COLUMNS}
    n = len(data["i64"])

    def read(leaf: Node) -> pa.Array:
        assert isinstance(leaf.attr, int)
        return arrays[SCHEMA.field(plan.leaves[leaf.attr].column).name]

    want = expected(tree, data)
    for made in (node, cut(node, where)):
        if want is None:
            with pytest.raises(EvaluationError):
                evaluate(made, read, n)
        else:
            got = evaluate(made, read, n)
            assert got.type == node.type or kernel_kind(node.type) == "f64"
            assert [exact(v) for v in got.to_pylist()] == [
                exact(float(v) if kernel_kind(node.type) == "f64" and v is not None else v) for v in want
            ]


def test_chunks_dictionaries_and_no_rows() -> None:
    node = compile_condition("ds = 'a' OR i64 > 1", SCHEMA)
    both = {
        "ds": pa.chunked_array([["a"], ["b"], []], pa.string()).dictionary_encode(),
        "i64": pa.chunked_array([[1, 2]]),
    }
    computation = Computation(node)
    assert computation.run(lambda c: both[SCHEMA.field(c.attr[0]).name], 2).to_pylist() == [True, True]  # type: ignore[index]
    none = {"ds": pa.chunked_array([], pa.string()), "i64": pa.chunked_array([], pa.int64())}
    assert computation.run(lambda c: none[SCHEMA.field(c.attr[0]).name], 0).to_pylist() == []  # type: ignore[index]


def test_a_column_longer_than_a_chunk() -> None:
    node = compile_condition("i64 % 7 = 3", SCHEMA)
    column = pa.array(range(5000))
    assert evaluate(node, lambda c: column, 5000).to_pylist() == [i % 7 == 3 for i in range(5000)]


# ---------------------------------------------------------------- Measuring


def values(found: pa.RecordBatch | None) -> list[int]:
    assert found is not None
    return [int(v) for v in found.column(0).to_pylist()]


def tenth(matches: pa.RecordBatch) -> pa.RecordBatch:
    if 0 in values(matches):
        raise EvaluationError("division by zero")
    return pa.record_batch({"y": [10 // v for v in values(matches)]})


def test_matches_beside_one_without_a_value_come_later() -> None:
    measuring = Measuring(tenth)
    assert values(measuring(pa.record_batch({"x": [5, 2]}))) == [2, 5]
    with pytest.raises(EvaluationError):
        measuring(pa.record_batch({"x": [1, 0, 2, 0, 5]}))
    saved = measuring.save()
    with pytest.raises(EvaluationError):
        measuring(None)
    assert values(measuring(pa.record_batch({"x": [10]}))) == [10, 5, 2, 1]
    assert measuring(None) is None
    assert measuring.save() == b""
    other = Measuring(tenth)
    other.restore(saved)
    assert values(other(None)) == [10, 5, 2]
