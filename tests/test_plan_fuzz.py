"""Any clause of the grammar: it is planned and runs, or is refused by an error of ours; soon, and with little memory.

Texts come from the grammar's own trees, over a schema that has the columns they name in many types, and from well-typed
conditions that are put together at random; what is accepted runs over a small table with NULLs.
"""

import tracemalloc
from decimal import Decimal
from random import Random

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tocsin
from tocsin.compile.clauses import compile_clause
from tree_strategies import COLUMNS, clauses
from whole_cases import whole_case

TYPES = [
    pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.timestamp("us"), pa.date32(), pa.uint8(), pa.duration("s"),
    pa.list_(pa.int64()), pa.decimal128(9, 2), pa.null(), pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip
NAMES = [*COLUMNS, "k", "x", "y"]
FUZZ = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
SPACE = 200_000_000  # bytes that planning and running one small clause may take at once


def events(seed: int) -> pa.Table:
    r = Random(seed)
    columns = {}
    for name in NAMES:
        type_ = r.choice(TYPES)
        columns[name] = pa.array([None, None], type_) if r.random() < 0.5 else _two(type_)
    return pa.table(columns)


def _two(type_: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(type_):
        return pa.array(["x", None]).dictionary_encode()
    if pa.types.is_list(type_):
        return pa.array([[1, None], []], type_)
    return pa.array([1, None], pa.int32()).cast(type_) if pa.types.is_date(type_) else _plain(type_)


def _plain(type_: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(type_):
        return pa.array([True, None], type_)
    if pa.types.is_string(type_):
        return pa.array(["x", None], type_)
    if pa.types.is_null(type_):
        return pa.nulls(2)
    if pa.types.is_decimal(type_):
        return pa.array([Decimal("1.5"), None], type_)
    return pa.array([1, None], pa.int64()).cast(type_)


def tried(text: str, table: pa.Table) -> None:
    tracemalloc.start()
    try:
        tocsin.match_recognize(table, text, max_steps=10_000)
    except tocsin.TocsinError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < SPACE, text


@FUZZ
@given(clauses(), st.integers(0, 2**32))
def test_a_clause_of_the_grammar_is_run_or_refused(clause, seed):
    tried(str(clause), events(seed))


@FUZZ
@given(st.integers(0, 2**48), st.integers(0, 2**32), st.data())
def test_a_clause_over_other_types_than_it_was_made_for_is_run_or_refused(seed, other, data):
    case = whole_case(Random(seed))
    table = case.table
    at = data.draw(st.integers(0, table.num_columns - 1))
    changed = Random(other).choice(TYPES)
    table = table.set_column(at, table.schema.field(at).name, pa.nulls(table.num_rows, changed))
    tried(case.clause(), table)


@FUZZ
@given(clauses(), st.integers(0, 2**32))
def test_planning_twice_gives_the_same(clause, seed):
    schema = events(seed).schema

    def planned() -> str:
        try:
            return repr(compile_clause(clause, schema))
        except tocsin.PatternError as fault:
            return str(fault)

    assert planned() == planned()
