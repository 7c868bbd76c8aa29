"""The garbage collector clears a cycle in an order of its own: what a destructor needs must still be there."""

import gc

import pyarrow as pa
import pytest

from tocsin.compile.assemble import build
from tocsin_core.conditions import Conditions
from tocsin_core.expression import Program
from tocsin_core.output import Output
from tocsin_core.schema import Schema
from tocsin_core.testing import Builder

SCHEMA = pa.schema([("x", pa.int64()), ("name", pa.string())])


def conditions() -> Conditions:
    return Conditions(Program([], [], [], [], [], []), [], [], [])


def output() -> Output:
    return Output(Program([], [], [], [], [], []), [], [], [])


def builder() -> Builder:
    return Builder(Schema.from_fields(["x"], ["u"]))


def operator() -> object:
    return build("MEASURES LAST(b.x) + 1 AS x PATTERN (a b) DEFINE b AS name IN ('p', 'q')", SCHEMA)


def condition() -> object:
    return build("x > 3 AND name = 'p'", SCHEMA)


@pytest.mark.parametrize("make", [conditions, output, builder, operator, condition])
def test_what_lies_in_a_cycle_is_destroyed_whole(make):
    for _ in range(50):
        cycle = [make()]
        cycle.append(cycle)
    del cycle
    gc.collect()
