"""A clause or a condition against a schema: the typed tree and the plan, and everything that is refused.

IR is written as text here: (op argument … attr), columns as name or name@lag, constants by value.
"""

import datetime as dt
import math

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.compile import compile_clause, compile_condition
from tocsin.compile.execution import execution_class
from tocsin.compile.ir import CLASSIFIER, MATCH_NUMBER, Leaf, kernel_kind
from tocsin.compile.trees import walk
from tocsin.errors import PatternError
from tocsin.language.expression import col, lit

LOW, HIGH = -(2**63), 2**63 - 1

SCHEMA = pa.schema(
    {
        "account": pa.dictionary(pa.int8(), pa.string()),
        "name": pa.string(),
        "view": pa.string_view(),
        "raw": pa.binary(),
        "i8": pa.int8(),
        "i": pa.int64(),
        "u32": pa.uint32(),
        "u": pa.uint64(),
        "f32": pa.float32(),
        "f": pa.float64(),
        "ok": pa.bool_(),
        "d": pa.date32(),
        "d64": pa.date64(),
        "t": pa.time32("s"),
        "s": pa.timestamp("s"),
        "ts": pa.timestamp("us"),
        "z": pa.timestamp("us", "Europe/Paris"),
        "z2": pa.timestamp("ns", "UTC"),
        "dur": pa.duration("ms"),
        "dec": pa.decimal128(10, 2),
        "list": pa.list_(pa.int64()),
        "codes": pa.dictionary(pa.int8(), pa.int64()),
        "nothing": pa.null(),
        "Mixed": pa.int64(),
        "mixed": pa.int64(),
        "Price": pa.float64(),
        "lists": pa.dictionary(pa.int8(), pa.list_(pa.int64())),
    }
)


def shown(node, leaves=None):
    """The IR as one line."""
    if node.op == "const":
        return repr(node.attr)
    if node.op == "column":
        return read(*node.attr)
    if node.op == "leaf":
        return leaf_shown(leaves[node.attr])
    attr = "" if node.attr is None else f" {node.attr}"
    return f"({node.op} {' '.join(shown(a, leaves) for a in node.args)}{attr})"


def read(index, lag):
    """A column with its lag; derived columns are #0, #1, …"""
    names = {CLASSIFIER: "CLASSIFIER", MATCH_NUMBER: "MATCH_NUMBER"}
    name = names.get(index) or (
        SCHEMA.field(index).name if index < len(SCHEMA) else f"#{index - len(SCHEMA)}"
    )
    return name + (f"@{lag}" if lag else "")


def leaf_shown(leaf):
    """kind[variables argument offset], ! for RUNNING, + with the row in question, >n rows on."""
    column = "" if leaf.column == -1 else " " + read(leaf.column, 0)
    arguments = "".join(f" {shown(a)}" for a in leaf.arguments)
    offset = f" {leaf.offset}" if leaf.offset else ""
    marks = "!" * (not leaf.final) + "+" * leaf.current + (f">{leaf.physical}" if leaf.physical else "")
    return f"{leaf.kind}[{leaf.variables:b}{column}{arguments}{offset}]{marks}"


def condition(text):
    return shown(compile_condition(text, SCHEMA))


def message(text, compiler=compile_condition):
    with pytest.raises(PatternError) as caught:
        compiler(text, SCHEMA)
    return str(caught.value)


# Comparison


@pytest.mark.parametrize(
    ("text", "ir"),
    [
        ("i < 10", "(lt i 10)"),
        ("10 > i", "(lt i 10)"),
        ("i8 <> 1000", "(ne i8 1000)"),
        ("i8 = i", "(eq i8 i)"),
        ("f < 10", "(lt f 10.0)"),
        ("f32 >= 0.5", "(ge f32 0.5)"),
        ("f > i", "(gt f (cast i))"),
        ("u = i", "(eq u i)"),
        ("u > 18446744073709551614", "(gt u 18446744073709551614)"),
        ("u = f", "(eq (cast u) f)"),
        ("name = 'x'", "(eq name 'x')"),
        ("account = 'x'", "(eq account 'x')"),
        ("account < name", "(lt account name)"),
        ("ok = TRUE", "(eq ok True)"),
        ("price > 1", "(gt Price 1.0)"),
        ('"Price" > 1', "(gt Price 1.0)"),
        ("Mixed > 1", "(gt Mixed 1)"),
        ("mixed > 1", "(gt mixed 1)"),
        # a bound between two integers moves to the next one
        ("i < 2.5", "(lt i 3)"),
        ("i <= 2.5", "(le i 2)"),
        ("i > 2.5", "(gt i 2)"),
        ("i >= 2.5", "(ge i 3)"),
        ("i < -2.5", "(lt i -2)"),
        ("i = 2.5", f"(lt i {LOW})"),
        ("i <> 2.5", f"(ge i {LOW})"),
        ("i = 2.0", "(eq i 2)"),
        # a bound beyond the range becomes the end of it
        ("i < 1e30", f"(ge i {LOW})"),
        ("i > 1e30", f"(lt i {LOW})"),
        ("i > -1e30", f"(ge i {LOW})"),
        ("i < 18446744073709551615", f"(ge i {LOW})"),
        ("u < -1", "(lt u 0)"),
        ("u >= -1", "(ge u 0)"),
        ("u <> -1", "(ge u 0)"),
        # dates and times
        ("ts < TIMESTAMP '1970-01-01 00:00:01'", "(lt ts 1000000)"),
        ("'1970-01-01 00:00:01' >= ts", "(le ts 1000000)"),
        ("s < TIMESTAMP '1970-01-01 00:00:00.5'", "(lt s 1)"),
        ("s <= TIMESTAMP '1970-01-01 00:00:00.5'", "(le s 0)"),
        ("s = TIMESTAMP '1970-01-01 00:00:00.5'", f"(lt s {LOW})"),
        ("ts > DATE '1970-01-02'", "(gt ts 86400000000)"),
        ("d > DATE '1970-01-02'", "(gt d 1)"),
        ("d > '1970-01-02'", "(gt d 1)"),
        ("d >= TIMESTAMP '1970-01-02 12:00:00'", "(ge d 2)"),
        ("d >= '1970-01-02 12:00:00'", "(ge d 2)"),
        ("d64 = DATE '1970-01-02'", "(eq d64 86400000)"),
        ("z < TIMESTAMP '1970-01-01 01:00:00 Europe/Paris'", "(lt z 0)"),
        ("z < '1970-01-01 00:00:00 UTC'", "(lt z 0)"),
        ("t > TIME '00:01:00'", "(gt t 60)"),
        ("t > '00:01'", "(gt t 60)"),
        ("dur > INTERVAL '1.5' SECOND", "(gt dur 1500)"),
        ("dur > INTERVAL '0.0000001' SECOND", "(gt dur 0)"),
        ("s < ts", "(lt (cast s 1000000) ts)"),
        ("d < ts", "(lt (cast d 86400000000) ts)"),
        ("d = d64", "(eq (cast d 86400000) d64)"),
        ("z < z2", "(lt (cast z 1000) z2)"),
        ("ts < TIMESTAMP '9999-12-31 00:00:00'", "(lt ts 253402214400000000)"),
        ("z2 < TIMESTAMP '9999-12-31 00:00:00 UTC'", f"(ge z2 {LOW})"),
        # predicates
        ("i BETWEEN 1 AND 3", "(and (ge i 1) (le i 3))"),
        ("i NOT BETWEEN 1 AND 3", "(not (and (ge i 1) (le i 3)))"),
        ("i IN (1, 2, 2)", "(in i ((1, 2), False))"),
        ("i NOT IN (1, NULL)", "(not (in i ((1,), True)))"),
        ("i IN (1, 2.5, 3.0, 1e30)", "(in i ((1, 3), False))"),
        ("i IN (2.5)", f"(lt i {LOW})"),
        ("i IN (2.5, NULL)", "None"),
        ("u IN (-1, 1)", "(in u ((1,), False))"),
        ("f IN (1, 2.5)", "(in f ((1.0, 2.5), False))"),
        ("name IN ('x', 'y')", "(in name (('x', 'y'), False))"),
        ("d IN ('1970-01-02', DATE '1970-01-03')", "(in d ((1, 2), False))"),
        ("i IN (1, i8)", "(or (eq i 1) (eq i i8))"),
        ("i IS NULL", "(is_null i)"),
        ("i + 1 IS NOT NULL", "(is_not_null (add i 1))"),
        ("NOT NOT ok", "ok"),
        ("ok AND i > 1 AND f > 1 OR ok", "(or (and (and ok (gt i 1)) (gt f 1.0)) ok)"),
        # what settles nothing is left out, what is said twice is said once
        ("i > 1 AND TRUE", "(gt i 1)"),
        ("FALSE OR i > 1", "(gt i 1)"),
        ("i > 1 AND i > 1 AND i > 1", "(gt i 1)"),
        ("i > 1 AND NULL", "(and (gt i 1) None)"),
        # constants of equal value and different kind are not one
        ("f = 0.0 OR f = -0.0", "(or (eq f 0.0) (eq f -0.0))"),
        ("i = 1 OR f = 1 OR ok = TRUE", "(or (or (eq i 1) (eq f 1.0)) (eq ok True))"),
    ],
)
def test_a_condition_becomes(text, ir):
    assert condition(text) == ir


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 = 7", True),
        ("7 / 2 = 3 AND -7 / 2 = -3 AND 7 % -3 = 1 AND -7 % 3 = -1", True),
        ("7 / 2.0 = 3.5", True),
        ("1.0 / 0 > 1e308 AND -1.0 / 0 < 0", True),
        ("-9223372036854775808 < 0", True),
        ("'a' < 'b' AND 'ä' > 'z'", True),
        ("DATE '2024-02-28' + INTERVAL '2' DAY = DATE '2024-03-01'", True),
        ("TIMESTAMP '2024-01-01 00:00' - DATE '2023-12-31' = INTERVAL '24' HOUR", True),
        ("INTERVAL '1' HOUR / 2 = INTERVAL '30' MINUTE", True),
        ("2 * INTERVAL '1' SECOND > INTERVAL '1' SECOND", True),
        ("1 = 2 OR 1 > 3", False),
        ("NULL", None),
        ("NULL = 1", None),
        ("i = NULL", None),
        ("NOT NULL", None),
        ("NULL AND FALSE", False),
        ("NULL OR TRUE", True),
        ("NULL IS NULL", True),
        ("nothing > 3", None),
        ("nothing IS NULL", True),
        ("i > 1 AND FALSE", False),
        ("i > 1 OR TRUE", True),
        ("2 IN (1, 2)", True),
        ("2 IN (1, NULL)", None),
        ("2 BETWEEN 1 AND 3", True),
        ("i + NULL > 1", None),
    ],
)
def test_constants_are_folded(text, value):
    node = compile_condition(text, SCHEMA)
    assert (node.op, node.attr, node.type) == ("const", value, pa.bool_())


def test_equal_parts_are_one_object():
    node = compile_condition("i + 1 > 2 AND i + 1 < 5", SCHEMA)
    assert node.args[0].args[0] is node.args[1].args[0]


def test_a_long_chain_is_a_balanced_tree():
    node = compile_condition(" OR ".join(f"i = {k}" for k in range(4_096)), SCHEMA)
    depth = 0
    while node.args:
        node, depth = node.args[0], depth + 1
    assert depth == 13  # twelve levels of OR, then the comparison


def test_python_values_compare_as_literals():
    both = (col("ts") >= dt.datetime(1970, 1, 1, 0, 0, 1)) & col("raw").is_in([b"\0", b"x"])
    assert condition(both) == "(and (ge ts 1000000) (in raw ((b'\\x00', b'x'), False)))"
    assert condition(col("f") > math.inf) == "(gt f inf)"
    assert condition(col("i") > math.nan) == "(gt (cast i) nan)"
    assert condition(col("f").is_in([math.nan])) == "(lt f -inf)"
    assert condition(lit(True)) == "True"


# Arithmetic


@pytest.mark.parametrize(
    ("text", "ir", "type"),
    [
        ("i + 1", "(add i 1)", "int64"),
        ("i8 * i8", "(mul i8 i8)", "int64"),
        ("u32 - 1", "(sub u32 1)", "int64"),
        ("u + 1", "(add u 1)", "uint64"),
        ("i / 2", "(div i 2)", "int64"),
        ("i % 2", "(mod i 2)", "int64"),
        ("i / 2.0", "(div (cast i) 2.0)", "double"),
        ("f32 + f32", "(add f32 f32)", "double"),
        ("u + f", "(add (cast u) f)", "double"),
        ("-i", "(neg i)", "int64"),
        ("-f32", "(neg f32)", "double"),
        ("ts - s", "(sub ts (cast s 1000000))", "duration[us]"),
        ("ts - TIMESTAMP '1970-01-01 00:00:01'", "(sub ts 1000000)", "duration[us]"),
        ("s - TIMESTAMP '1970-01-01 00:00:00.5'", "(sub (cast s 1000) 500)", "duration[ms]"),
        ("z2 - z", "(sub z2 (cast z 1000))", "duration[ns]"),
        ("d - d", "(sub (cast d 86400) (cast d 86400))", "duration[s]"),
        ("ts - d", "(sub ts (cast d 86400000000))", "duration[us]"),
        ("ts + INTERVAL '1' MINUTE", "(add ts 60000000)", "timestamp[us]"),
        ("INTERVAL '1' MINUTE + ts", "(add ts 60000000)", "timestamp[us]"),
        ("z - INTERVAL '1' MINUTE", "(sub z 60000000)", "timestamp[us, tz=Europe/Paris]"),
        ("s + INTERVAL '0.5' SECOND", "(add (cast s 1000) 500)", "timestamp[ms]"),
        ("ts + dur", "(add ts (cast dur 1000))", "timestamp[us]"),
        ("d + INTERVAL '2' DAY", "(add d 2)", "date32[day]"),
        ("d64 - INTERVAL '2' DAY", "(sub d64 172800000)", "date64[ms]"),
        ("d + INTERVAL '2' HOUR", "(add (cast d 86400) 7200)", "timestamp[s]"),
        ("d + dur", "(add (cast d 86400000) dur)", "timestamp[ms]"),
        ("t - t", "(sub t t)", "duration[s]"),
        ("dur * 2", "(mul dur 2)", "duration[ms]"),
        ("i * dur", "(mul dur i)", "duration[ms]"),
        ("dur / 2", "(div dur 2)", "duration[ms]"),
        ("dur + INTERVAL '1' SECOND", "(add dur 1000)", "duration[ms]"),
        ("-dur", "(neg dur)", "duration[ms]"),
    ],
)
def test_arithmetic_becomes(text, ir, type):
    plan = compile_clause(f"MEASURES {text} AS m PATTERN (A)", SCHEMA)
    node = plan.measures[0].node
    assert shown(node, plan.leaves).replace("last[1 ", "").replace("]", "") == ir
    assert str(node.type) == type


# Plans


def test_the_plan_of_a_whole_clause():
    plan = compile_clause(
        """
        PARTITION BY account ORDER BY ts, i DESC NULLS FIRST
        MEASURES FIRST(probe.ts) AS started, hit.ts AS ended, COUNT(probe.*) AS probes
        PATTERN (probe{3,} hit) WITHIN INTERVAL '5' MINUTE
        DEFINE probe AS price < 10, hit AS price > 1000
        """,
        SCHEMA,
    )
    assert plan.schema is SCHEMA
    assert plan.partition == (0,)
    assert plan.order == ((15, False, False), (5, True, True))
    assert plan.variables == ("PROBE", "HIT")
    assert [shown(c) for c in plan.conditions] == ["(lt Price 10.0)", "(gt Price 1000.0)"]
    assert plan.condition_of == (0, 1)
    assert plan.condition_names == ("DEFINE PROBE", "DEFINE HIT")
    assert (plan.positions, plan.first, plan.follow) == ((0, 0, 0, 1), (0,), ((1,), (2,), (2, 3), (-1,)))
    assert (plan.within, plan.time, plan.skip) == (300_000_000, 15, "past_last")
    assert plan.leaves == (
        Leaf("first", 1, 15, 0, pa.timestamp("us")),
        Leaf("last", 2, 15, 0, pa.timestamp("us")),
        Leaf("count_rows", 1, -1, 0, pa.int64()),
    )
    assert [(m.name, m.node.attr) for m in plan.measures] == [("started", 0), ("ended", 1), ("probes", 2)]
    assert plan.output_schema == pa.schema(
        {
            "account": pa.string(),
            "started": pa.timestamp("us"),
            "ended": pa.timestamp("us"),
            "probes": pa.int64(),
        }
    )


def test_variables_without_a_condition_are_always_true_and_equal_conditions_are_one():
    plan = compile_clause("PATTERN (A B C D) DEFINE A AS TRUE, C AS i > 1, D AS D.i > 1, B AS 1 < 2", SCHEMA)
    assert [shown(c) for c in plan.conditions] == ["(gt i 1)"]
    assert plan.condition_of == (-1, -1, 0, 0)
    assert plan.condition_names == ("DEFINE C",)


def test_prev_reads_back_from_every_column_of_its_argument():
    text = "PATTERN (A) DEFINE A AS PREV(i + i8 * 2, 2) < A.i AND PREV(f, 3) > PREV(f, 0)"
    plan = compile_clause(text, SCHEMA)
    assert shown(plan.conditions[0]) == "(and (lt (add i@2 (mul i8@2 2)) i) (gt f@3 f))"


def test_variables_are_one_whatever_their_case_unless_quoted():
    plan = compile_clause('MEASURES LAST(a.i) AS x, LAST("a".i) AS y PATTERN (A a "a" "A")', SCHEMA)
    assert plan.variables == ("A", "a")
    assert plan.positions == (0, 0, 1, 0)
    assert [leaf.variables for leaf in plan.leaves] == [1, 2]


@pytest.mark.parametrize(
    ("order", "interval", "within"),
    [
        ("ts", "'1' SECOND", 1_000_000),
        ("s", "'1.5' SECOND", 2),
        ("d", "'1' HOUR", 1),
        ("d", "'25' HOUR", 2),
        ("dur", "'1' SECOND", 1_000),
        ("t", "'1' MINUTE", 60),
    ],
)
def test_within_is_in_the_unit_of_the_time_rounded_up(order, interval, within):
    assert compile_clause(f"ORDER BY {order} PATTERN (A) WITHIN INTERVAL {interval}", SCHEMA).within == within


@pytest.mark.parametrize(
    ("order", "time"), [("ts", 15), ("i8", 4), ("u", None), ("f", None), ("name", None), ("ts DESC", None)]
)
def test_the_time_is_an_ascending_whole_number(order, time):
    assert compile_clause(f"ORDER BY {order} PATTERN (A)", SCHEMA).time == time


def test_a_column_that_no_expression_reads_may_have_any_type():
    assert compile_clause("MEASURES i AS x PATTERN (A)", SCHEMA).output_schema.names == ["x"]


# Definitions: condition and rest


def definitions(text, pattern="A B", subset="SUBSET U = (A, B), V = (A)"):
    """The plan of DEFINE B AS `text`, and its condition and rest as text."""
    plan = compile_clause(f"PATTERN ({pattern}) {subset} DEFINE B AS {text}", SCHEMA)
    number = plan.variables.index("B")
    condition, rest = plan.condition_of[number], plan.rest_of[number]
    return (
        plan,
        "" if condition < 0 else shown(plan.conditions[condition]),
        "" if rest < 0 else shown(plan.rests[rest], plan.define_leaves),
    )


@pytest.mark.parametrize(
    ("text", "condition", "rest"),
    [
        # the row itself: the last row of B, of any subset with B, and of all
        ("i > 1", "(gt i 1)", ""),
        ("B.i > 1 AND U.i > 2 AND LAST(i) > 3", "(and (and (gt i 1) (gt i 2)) (gt i 3))", ""),
        ("PREV(B.i, 2) > PREV(LAST(U.i)) + PREV(i8 * 2)", "(gt i@2 (add i@1 (mul i8@1 2)))", ""),
        ("CLASSIFIER() = 'B'", "", ""),
        ("CLASSIFIER() = 'A'", "False", ""),
        ("CLASSIFIER(U) = 'B' AND i > 1", "(gt i 1)", ""),
        ("NEXT(CLASSIFIER()) IS NULL", "", ""),
        # rows to come
        ("NEXT(i) > i", "", "(gt i@-1 i)"),
        ("i > 1 AND NEXT(B.i + B.f, 2) > 2", "(gt i 1)", "(gt (add (cast i@-2) f@-2) 2.0)"),
        ("i > 1 OR NEXT(i) > 2", "", "(or (gt i 1) (gt i@-1 2))"),
        # the match so far
        ("i > A.i", "", "(gt i last[1 i])"),
        ("i > V.i AND f > 2", "(gt f 2.0)", "(gt i last[1 i])"),
        ("i BETWEEN 3 AND A.i", "(ge i 3)", "(le i last[1 i])"),
        ("LAST(A.i, 2) > 1", "", "(gt last[1 i 2] 1)"),
        ("LAST(i, 1) > 1", "", "(gt last[11 i] 1)"),
        ("LAST(B.i, 3) > 1", "", "(gt last[10 i 2] 1)"),
        ("FIRST(A.i, 1) > 1", "", "(gt first[1 i 1] 1)"),
        ("FIRST(i) > 1", "", "(gt first[11 i]+ 1)"),
        ("RUNNING FIRST(B.i, 2) > 1", "", "(gt first[10 i 2]+ 1)"),
        ("PREV(A.i) > 1", "", "(gt last[1 i]>-1 1)"),
        ("PREV(LAST(A.i, 2), 3) > 1", "", "(gt last[1 i 2]>-3 1)"),
        ("NEXT(FIRST(U.i, 2)) > 1", "", "(gt first[11 i 2]+>1 1)"),
        ("NEXT(LAST(i, 1), 1) > 1", "", "(gt last[11 i]>1 1)"),
        ("CLASSIFIER(A) = 'A'", "", "(eq classifier[1] 'A')"),
        ("LAST(CLASSIFIER(), 1) = 'A'", "", "(eq classifier[11] 'A')"),
        ("PREV(CLASSIFIER()) = 'A'", "", "(eq classifier[11] 'A')"),
        ("PREV(CLASSIFIER(U), 3) = 'A'", "", "(eq last[11 CLASSIFIER 2] 'A')"),
        ("PREV(LAST(CLASSIFIER(), 1), 2) = 'A'", "", "(eq last[11 CLASSIFIER 2] 'A')"),
        ("PREV(CLASSIFIER(A)) = 'A'", "", "(eq last[1 CLASSIFIER]>-1 'A')"),
        ("FIRST(CLASSIFIER()) = 'A'", "", "(eq first[11 CLASSIFIER]+ 'A')"),
        ("MATCH_NUMBER() = 1 AND ok", "ok", "(eq match_number[11] 1)"),
        ("COUNT(*) < 3", "", "(lt count_rows[11]+ 3)"),
        ("COUNT(A.*) < 3", "", "(lt count_rows[1] 3)"),
        ("COUNT(U.i) < 3", "", "(lt count[11 i]+ 3)"),
        ("AVG(A.i) < SUM(B.f * 2)", "", "(lt avg[1 i] sum[10 (mul f 2.0)]+)"),
        ("COUNT(A.*) + i > 2 AND i > 2", "(gt i 2)", "(gt (add count_rows[1] i) 2)"),
        # what may fail stays beside what may keep it from that
        ("i / i8 > 1", "(gt (div i i8) 1)", ""),
        ("i / 2 > 1 AND A.i > 1", "(gt (div i 2) 1)", "(gt last[1 i] 1)"),
        ("i / i8 > 1 AND A.i > 1 AND i8 > 0", "(gt i8 0)", "(and (gt (div i i8) 1) (gt last[1 i] 1))"),
        ("f / f > 1 AND A.i > 1", "(gt (div f f) 1.0)", "(gt last[1 i] 1)"),
        # constants
        ("TRUE", "", ""),
        ("A.i > 1 OR TRUE", "", ""),
        ("A.i > 1 AND FALSE", "False", ""),
        ("A.i > 1 AND NULL AND i > 1", "(and (gt i 1) None)", "(gt last[1 i] 1)"),
        # choices
        ("CASE WHEN i > 1 THEN ok ELSE FALSE END", "(if (gt i 1) ok False)", ""),
        ("COALESCE(A.i, i) > 1", "", "(gt (if (is_not_null last[1 i]) last[1 i] i) 1)"),
    ],
)
def test_a_definition_is_a_condition_and_a_rest(text, condition, rest):
    _, *found = definitions(text)
    assert found == [condition, rest]


def test_the_leaves_of_definitions_are_their_own_and_each_is_there_once():
    plan = compile_clause(
        "MEASURES A.i AS m PATTERN (A B C) DEFINE B AS i > A.i AND A.i > 2, C AS i > A.i AND f > A.f", SCHEMA
    )
    assert plan.leaves == (Leaf("last", 1, 5, 0, pa.int64()),)
    assert plan.define_leaves == (Leaf("last", 1, 5, 0, pa.int64()), Leaf("last", 1, 9, 0, pa.float64()))
    assert (plan.rest_of, plan.rest_names) == ((-1, 0, 1), ("DEFINE B", "DEFINE C"))
    assert (plan.condition_of, plan.conditions) == ((-1, -1, -1), ())


def test_equal_rests_are_one_and_those_that_differ_in_who_the_row_is_are_not():
    plan = compile_clause("PATTERN (A B C) DEFINE B AS i > A.i, C AS C.i > LAST(A.i)", SCHEMA)
    assert (plan.rest_of, plan.rest_names) == ((-1, 0, 0), ("DEFINE B",))
    plan = compile_clause("PATTERN (A B C) DEFINE B AS COUNT(B.*) > 2, C AS COUNT(B.*) > 2", SCHEMA)
    assert plan.rest_of == (-1, 0, 1)
    assert [leaf.current for leaf in plan.define_leaves] == [True, False]


def test_a_leaf_that_nothing_reads_any_more_is_not_there():
    plan = definitions("(A.i > 1 OR TRUE) AND A.f > 2")[0]
    assert [leaf_shown(leaf) for leaf in plan.define_leaves] == ["last[1 f]"]
    assert [r.args[0].attr for r in plan.rests] == [0]


# Columns that a library computes


@pytest.mark.parametrize(
    ("text", "condition", "rest", "derived"),
    [
        ("LOWER(name) = 'x'", "(eq #0 'x')", "", ["(call name ('lower',))"]),
        ("PREV(LOWER(name), 2) = LOWER(PREV(name, 2))", "(eq #0@2 #0@2)", "", ["(call name ('lower',))"]),
        ("LOWER(A.name) = LOWER(name)", "", "(eq last[1 #0] #0)", ["(call name ('lower',))"]),
        (
            "LAST(LOWER(A.name), 2) = LOWER(PREV(LAST(A.name, 2), 1))",
            "",
            "(eq last[1 #0 2] last[1 #0 2]>-1)",
            ["(call name ('lower',))"],
        ),
        ("MAX(LOWER(A.name)) = 'x'", "", "(eq max[1 #0] 'x')", ["(call name ('lower',))"]),
        ("LOWER(name) = 'x' AND i > A.i", "(eq #0 'x')", "(gt i last[1 i])", ["(call name ('lower',))"]),
        ("LENGTH(A.name || A.account) > 3", "", "(gt last[1 #0] 3)", None),
        ("CARDINALITY(A.list) > CARDINALITY(list)", "", "(gt last[1 #0] #0)", None),
    ],
)
def test_a_function_of_one_row_is_a_column(text, condition, rest, derived):
    plan, *found = definitions(text)
    assert found == [condition, rest]
    assert plan.schema.names[: len(SCHEMA)] == SCHEMA.names
    assert plan.schema.names[len(SCHEMA) :] == [d.name for d in plan.derived]
    assert [f.type for f in plan.schema][len(SCHEMA) :] == [d.node.type for d in plan.derived]
    if derived is not None:
        assert [shown(d.node) for d in plan.derived] == derived


def test_a_column_that_only_a_library_can_read_is_read_through_it():
    plan = compile_clause("MEASURES LOWER(A.name) AS x, CARDINALITY(A.list) AS y PATTERN (A)", SCHEMA)
    assert [shown(m.node, plan.leaves) for m in plan.measures] == [
        "(call last[1 name] ('lower',))",
        "last[1 #0]",
    ]


def test_what_a_library_makes_of_an_aggregate_stays_in_the_measure():
    plan = compile_clause("MEASURES CARDINALITY(ARRAY_AGG(A.i)) AS x PATTERN (A)", SCHEMA)
    assert plan.measures[0].node.op == "call"
    assert [leaf_shown(leaf) for leaf in plan.leaves] == ["array_agg[1 i]"]


def test_keys_may_be_expressions():
    plan = compile_clause(
        "PARTITION BY LOWER(name), account, i % 2 ORDER BY i + 1 DESC, (ts) MEASURES i AS m PATTERN (A)",
        SCHEMA,
    )
    n = len(SCHEMA)
    assert plan.partition == (n, 0, n + 1)
    assert plan.order == ((n + 2, True, False), (15, False, False))
    assert [d.name for d in plan.derived] == ["LOWER(name)", "i % 2", "i + 1"]
    assert plan.output_schema.names == ["LOWER(name)", "account", "i % 2", "m"]
    assert [str(t) for t in plan.output_schema.types] == ["string", "string", "int64", "int64"]


def test_within_may_be_measured_on_an_expression():
    plan = compile_clause("ORDER BY ts - INTERVAL '1' HOUR PATTERN (A) WITHIN INTERVAL '1' SECOND", SCHEMA)
    assert (plan.time, plan.within) == (len(SCHEMA), 1_000_000)


# The clause


def test_subsets_are_masks():
    plan = compile_clause(
        "MEASURES LAST(U.i) AS x, COUNT(W.*) AS n AFTER MATCH SKIP TO FIRST W PATTERN (A B C) "
        "SUBSET U = (C, A), W = (B, C)",
        SCHEMA,
    )
    assert [leaf.variables for leaf in plan.leaves] == [0b101, 0b110]
    assert (plan.skip, plan.skip_variables) == ("first", 0b110)


@pytest.mark.parametrize(
    ("text", "skip", "variables"),
    [
        ("PAST LAST ROW", "past_last", 0),
        ("TO NEXT ROW", "next", 0),
        ("TO FIRST B", "first", 2),
        ("TO LAST B", "last", 2),
        ("TO A", "last", 1),
    ],
)
def test_where_the_next_match_may_begin(text, skip, variables):
    plan = compile_clause(f"AFTER MATCH SKIP {text} PATTERN (A B)", SCHEMA)
    assert (plan.skip, plan.skip_variables) == (skip, variables)


def test_all_rows_shows_keys_then_measures_then_the_rest():
    schema = pa.schema(
        {
            "v": pa.float64(),
            "k": pa.dictionary(pa.int8(), pa.string()),
            "t": pa.int64(),
            "list": pa.list_(pa.int8()),
        }
    )
    plan = compile_clause(
        "PARTITION BY k ORDER BY t, v + 1, k MEASURES COUNT(*) AS n ALL ROWS PER MATCH WITH UNMATCHED ROWS PATTERN (A)",
        schema,
    )
    assert plan.output_schema == pa.schema(
        {"k": pa.string(), "t": pa.int64(), "n": pa.int64(), "v": pa.float64(), "list": pa.list_(pa.int8())}
    )
    assert (plan.rows, plan.empty) == ("all", "unmatched")
    assert compile_clause("ALL ROWS PER MATCH OMIT EMPTY MATCHES PATTERN (A)", schema).empty == "omit"


@pytest.mark.parametrize(
    ("text", "one", "all_"),
    [
        ("i", "last[11 i]", "last[11 i]!"),
        ("FINAL LAST(A.i)", "last[1 i]", "last[1 i]"),
        ("RUNNING LAST(A.i)", "last[1 i]", "last[1 i]!"),
        ("FIRST(i)", "first[11 i]", "first[11 i]"),
        ("PREV(FINAL FIRST(i, 1), 2)", "first[11 i 1]>-2", "first[11 i 1]>-2"),
        ("PREV(i)", "last[11 i]>-1", "last[11 i]!>-1"),
        ("NEXT(A.i, 2)", "last[1 i]>2", "last[1 i]!>2"),
        ("CLASSIFIER()", "classifier[11]", "classifier[11]!"),
        ("MATCH_NUMBER()", "match_number[11]", "match_number[11]"),
        ("FINAL COUNT(*)", "count_rows[11]", "count_rows[11]"),
        ("SUM(A.i)", "sum[1 i]", "sum[1 i]!"),
        ("AVG(A.i)", "(div sum[1 i] (cast count[1 i]))", "avg[1 i]!"),
    ],
)
def test_running_is_the_default_and_means_something_with_all_rows_only(text, one, all_):
    for rows, expected in (("ONE ROW", one), ("ALL ROWS", all_)):
        plan = compile_clause(f"MEASURES {text} AS m {rows} PER MATCH PATTERN (A B)", SCHEMA)
        assert shown(plan.measures[0].node, plan.leaves) == expected


def test_the_empty_pattern_is_a_pattern():
    plan = compile_clause("MEASURES MATCH_NUMBER() AS n PATTERN (())", SCHEMA)
    assert (plan.variables, plan.positions, plan.first, plan.follow) == ((), (), (-1,), ())


def test_anchors_and_exclusion_are_in_the_plan():
    plan = compile_clause("PATTERN (^ A {- B -} $)", SCHEMA)
    assert (plan.first, plan.first_at_start, plan.follow) == ((), (0,), ((1,), (-2,)))
    assert plan.excluded == (False, True)


# Measures


@pytest.mark.parametrize(
    ("expression", "ir", "type"),
    [
        ("i", "last[11 i]", "int64"),
        ("A.i", "last[1 i]", "int64"),
        ("LAST(A.i, 2)", "last[1 i 2]", "int64"),
        ("FIRST(i, 1)", "first[11 i 1]", "int64"),
        ("FINAL LAST(B.account)", "last[10 account]", "string"),
        ("FIRST(A.i + A.f * 2)", "(add (cast first[1 i]) (mul first[1 f] 2.0))", "double"),
        ("LAST(B.i) - FIRST(A.i)", "(sub last[10 i] first[1 i])", "int64"),
        ("COUNT(*)", "count_rows[11]", "int64"),
        ("COUNT(1)", "count_rows[11]", "int64"),
        ("COUNT(A.*)", "count_rows[1]", "int64"),
        ("COUNT(B.i)", "count[10 i]", "int64"),
        ("COUNT(account)", "count[11 account]", "int64"),
        ("SUM(i8)", "sum[11 i8]", "int64"),
        ("SUM(u)", "sum[11 u]", "uint64"),
        ("SUM(f32)", "sum[11 f32]", "double"),
        ("SUM(dur)", "sum[11 dur]", "duration[ms]"),
        ("MIN(A.name)", "min[1 name]", "string"),
        ("MAX(account)", "max[11 account]", "string"),
        ("MAX(ok)", "max[11 ok]", "bool"),
        ("AVG(B.i)", "(div sum[10 i] (cast count[10 i]))", "double"),
        ("CLASSIFIER()", "classifier[11]", "string"),
        ("CLASSIFIER(B)", "classifier[10]", "string"),
        ("MATCH_NUMBER()", "match_number[11]", "int64"),
        (
            "CLASSIFIER() = 'B' AND COUNT(*) > 2",
            "(and (eq classifier[11] 'B') (gt count_rows[11] 2))",
            "bool",
        ),
        ("SUM(i) / COUNT(*)", "(div sum[11 i] count_rows[11])", "int64"),
        ("B.ts - FIRST(ts)", "(sub last[10 ts] first[11 ts])", "duration[us]"),
        ("B.i IS NULL", "(is_null last[10 i])", "bool"),
        ("LAST(CLASSIFIER(), 1)", "last[11 CLASSIFIER 1]", "string"),
        ("LAST(CLASSIFIER(B))", "classifier[10]", "string"),
        ("FIRST(CLASSIFIER())", "first[11 CLASSIFIER]", "string"),
        ("PREV(CLASSIFIER())", "last[11 CLASSIFIER 1]", "string"),
        ("PREV(CLASSIFIER(B))", "last[10 CLASSIFIER]>-1", "string"),
        ("NEXT(CLASSIFIER(A))", "last[1 CLASSIFIER]>1", "string"),
        ("PREV(LAST(i + i8, 2), 1)", "(add last[11 i 2]>-1 last[11 i8 2]>-1)", "int64"),
        ("LAST(A.i + MATCH_NUMBER())", "(add last[1 i] match_number[11])", "int64"),
        ("SUM(i8 * f)", "sum[11 (mul (cast i8) f)]", "double"),
        ("SUM(1)", "sum[11 1]", "int64"),
        ("SUM(dur * 2)", "sum[11 (mul dur 2)]", "duration[ms]"),
        ("AVG(A.i + 1)", "avg[1 (add i 1)]", "double"),
        ("AVG(u32)", "(div sum[11 u32] (cast count[11 u32]))", "double"),
        ("MIN(A.ts - A.s)", "min[1 (sub ts (cast s 1000000))]", "duration[us]"),
        ("STDDEV(i)", "stddev_samp[11 i]", "double"),
        ("STDDEV_POP(f)", "stddev_pop[11 f]", "double"),
        ("VARIANCE(i)", "var_samp[11 i]", "double"),
        ("VAR_POP(i)", "var_pop[11 i]", "double"),
        ("GEOMETRIC_MEAN(B.f)", "(math avg[10 (math f ln)] exp)", "double"),
        ("ANY_VALUE(A.account)", "any_value[1 account]", "string"),
        ("ARBITRARY(A.d)", "any_value[1 d]", "date32[day]"),
        ("ARRAY_AGG(A.i)", "array_agg[1 i]", "list<item: int64>"),
        ("ARRAY_AGG(CLASSIFIER())", "array_agg[11 CLASSIFIER]", "list<item: string>"),
        ("MIN(CLASSIFIER(B))", "min[10 CLASSIFIER]", "string"),
        ("SUM(MATCH_NUMBER() * i)", "sum[11 (mul MATCH_NUMBER i)]", "int64"),
        ("MIN_BY(A.name, A.ts)", "min_by[1 name ts]", "string"),
        ("MAX_BY(i, f * 2)", "max_by[11 i (mul f 2.0)]", "int64"),
        ("BOOL_AND(ok)", "bool_and[11 ok]", "bool"),
        ("EVERY(A.i > 2)", "bool_and[1 (gt i 2)]", "bool"),
        (
            "ARRAY_AGG(name || CLASSIFIER())",
            "array_agg[11 (if (eq CLASSIFIER 'A') #0 #1)]",
            "list<item: string>",
        ),
        ("MAX(LOWER(CLASSIFIER(B)))", "max[10 #0]", "string"),
        ("BOOL_OR(CLASSIFIER() = 'A')", "bool_or[11 (eq CLASSIFIER 'A')]", "bool"),
        ("COUNT_IF(A.i > 2)", "count_if[1 (gt i 2)]", "int64"),
        ("COUNT(A.i + A.f)", "count[1 (add (cast i) f)]", "int64"),
        ("COUNT(NULL)", "0", "int64"),
        ("COUNT(CLASSIFIER(A))", "count_rows[1]", "int64"),
        ("1", "1", "int64"),
        ("DATE '1970-01-02'", "1", "date32[day]"),
        ("i + NULL", "None", "int64"),
        ("view", "last[11 view]", "string_view"),
        ("raw", "last[11 raw]", "binary"),
    ],
)
def test_a_measure_becomes(expression, ir, type):
    plan = compile_clause(f"MEASURES {expression} AS m PATTERN (A B+)", SCHEMA)
    assert shown(plan.measures[0].node, plan.leaves) == ir
    assert str(plan.output_schema.field("m").type) == type


def test_equal_leaves_are_one():
    text = "MEASURES A.i AS x, LAST(A.i) + 1 AS y, AVG(i) AS z, COUNT(i) AS n PATTERN (A B)"
    leaves = compile_clause(text, SCHEMA).leaves
    assert [(leaf.kind, leaf.variables) for leaf in leaves] == [("last", 1), ("sum", 3), ("count", 3)]


def test_measures_that_differ_only_by_case_may_be_quoted():
    plan = compile_clause('MEASURES i AS "x", f AS "X" PATTERN (A)', SCHEMA)
    assert plan.output_schema.names == ["x", "X"]


# Errors


def test_an_unknown_column_is_shown_with_the_nearest_and_all_there_are():
    schema = pa.schema({"account": pa.string(), "ts": pa.timestamp("us"), "amount": pa.float64()})
    with pytest.raises(PatternError) as caught:
        compile_clause("ORDER BY ts\n  PATTERN (A)\n  DEFINE A AS amuont < 10", schema)
    assert str(caught.value) == (
        "there is no column 'amuont': did you mean 'amount'? The columns are account, ts, amount\n"
        "line 3, column 15:\n"
        "    DEFINE A AS amuont < 10\n"
        "                ^^^^^^"
    )


def test_an_error_in_a_python_expression_shows_it_as_sql():
    with pytest.raises(PatternError) as caught:
        compile_condition(
            (col("i") > 1) & (col("Name") == "x"), pa.schema({"i": pa.int64(), "name": pa.string()})
        )
    assert str(caught.value) == (
        "there is no column 'Name': did you mean 'name'? The columns are i, name\n"
        "line 1, column 11:\n"
        "    i > 1 AND Name = 'x'\n"
        "              ^^^^"
    )


def test_a_side_that_is_no_condition_is_shown():
    assert message("ok AND i") == (
        "each side of AND has to be true or false, and this is int64\n"
        "line 1, column 8:\n"
        "    ok AND i\n"
        "           ^"
    )


def test_a_schema_without_columns_says_so():
    with pytest.raises(PatternError, match=r"there is no column 'x': The columns are \(none\)"):
        compile_condition("x > 1", pa.schema([]))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("MIXED > 1", "the column 'MIXED' is ambiguous: there are 'Mixed' (number 23), 'mixed' (number 24)"),
        ('"PRICE" > 1', "there is no column 'PRICE': did you mean 'Price'?"),
        ("dec > 1", "the column 'dec' of type decimal128(10, 2) cannot be read in an expression"),
        ("list IS NULL", "the column 'list' of type list<"),
        ("lists = 1", "the column 'lists' of type dictionary<"),
        ("i + 1", "a condition has to be true or false, and this is int64"),
        ("name > 1", "> cannot compare string with number: numbers are written without quotes"),
        ("i = 'x'", "= cannot compare int64 with string"),
        ("ok = 1", "= cannot compare bool with number"),
        ("raw = 'x'", "= cannot compare binary with string"),
        ("ts = 1", "= cannot compare timestamp[us] with number"),
        ("ts > 'yesterday'", "'yesterday' is not a timestamp: write it as 2024-03-01 09:30:00"),
        ("dur > 5", "> cannot compare duration[ms] with number: write the duration as INTERVAL '5' MINUTE"),
        (
            "dur > '5m'",
            "> cannot compare duration[ms] with string: write the duration as INTERVAL '5' MINUTE",
        ),
        (
            "z > '2024-01-01 00:00'",
            "> cannot compare timestamp[us, tz=Europe/Paris] with timestamp: one has a",
        ),
        ("z > ts", "> cannot compare timestamp[us, tz=Europe/Paris] with timestamp[us]: one has a time zone"),
        ("t > ts", "> cannot compare time32[s] with timestamp[us]"),
        ("i IN (1, 'x')", "IN cannot compare int64 with string"),
        ("ts IN ('x')", "'x' is not a timestamp"),
        ("name + 1 = 2", "+ cannot be applied to string and number"),
        ("name + name = 'x'", "+ cannot be applied to string and string: strings are compared, not computed"),
        ("ts + ts > ts", "+ cannot be applied to timestamp[us] and timestamp[us]"),
        ("ts - '2024-01-01' > dur", "- cannot be applied to timestamp[us] and string: write a typed literal"),
        ("ts + 1 > ts", "+ cannot be applied to timestamp[us] and number"),
        (
            "t + INTERVAL '1' HOUR > t",
            "+ cannot be applied to time32[s] and duration: a time of day would pass",
        ),
        ("z - ts > dur", "- cannot be applied to timestamp[us, tz=Europe/Paris] and timestamp[us]: one has"),
        ("dur * 1.5 > dur", "* of a duration takes a whole number (int64), not number"),
        ("dur / dur > 1", "/ cannot be applied to duration[ms] and duration[ms]"),
        ("-name = 'x'", "- cannot be applied to string"),
        ("-u > 1", "- cannot be applied to uint64"),
        ("u + i > 1", "arithmetic between uint64 and int64 has no exact type"),
        ("u - -1 > 1", "arithmetic between uint64 and number has no exact type"),
        ("1 / 0 = 1", "division by zero"),
        ("1 % 0 = 1", "division by zero"),
        ("9223372036854775807 + 1 > i", "the value of this constant expression does not fit 64 bits"),
        ("NOT i", "the operand of NOT has to be true or false, and this is int64"),
        ("PREV(i) > 1", "PREV needs a pattern: a condition reads one row by itself"),
        ("COUNT(*) > 1", "COUNT needs a pattern"),
        ("FIRST(i) > 1", "FIRST needs a pattern: a condition reads one row by itself"),
        ("A.i > 1", "a condition has no pattern variables, so 'A.' means nothing here"),
        (col("PRICE") > 1, "there is no column 'PRICE': did you mean 'Price'?"),
    ],
)
def test_a_wrong_condition_is_refused(text, wrong):
    got = message(text)
    assert got.startswith(wrong), got
    assert "\nline 1, column " in got


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("PATTERN (A B) DEFINE C AS i > 1", "DEFINE of 'C', which is not in PATTERN: Its variables are A, B"),
        ("PATTERN (A B) DEFINE A AS i > 1, a AS i > 2", "'A' is defined twice"),
        ("PATTERN (A) DEFINE A AS i", "DEFINE A has to be true or false, and this is int64"),
        ("PARTITION BY nope PATTERN (A)", "there is no column 'nope'"),
        ("PARTITION BY i, I PATTERN (A)", "the column 'I' is twice in PARTITION BY"),
        ("PARTITION BY dec PATTERN (A)", "PARTITION BY a column of type decimal128(10, 2) is not supported"),
        ("ORDER BY list PATTERN (A)", "ORDER BY a column of type list<"),
        ("MEASURES i AS x, f AS X PATTERN (A)", "the measure 'X' has the name of another measure"),
        ('MEASURES i AS "x", f AS "x" PATTERN (A)', "the measure 'x' has the name of another measure"),
        (
            "PARTITION BY name MEASURES i AS Name PATTERN (A)",
            "the measure 'Name' has the name of a partition",
        ),
        ("PATTERN (A) WITHIN INTERVAL '1' DAY", "WITHIN needs ORDER BY a date or time"),
        (
            "ORDER BY i PATTERN (A) WITHIN INTERVAL '1' DAY",
            "WITHIN needs ORDER BY a date or time, and 'i' is",
        ),
        (
            "ORDER BY ts DESC PATTERN (A) WITHIN INTERVAL '1' DAY",
            "WITHIN needs an ascending ORDER BY, and 'ts'",
        ),
        ("PATTERN (A B) SUBSET A = (B)", "SUBSET 'A' has the name of a variable of PATTERN"),
        ("PATTERN (A B) SUBSET U = (A), U = (B)", "SUBSET 'U' is given twice"),
        (
            "PATTERN (A B) SUBSET U = (A, C)",
            "SUBSET 'U' has 'C', which is not in PATTERN: Its variables are A, B",
        ),
        (
            "PATTERN (Abc B) SUBSET U = (Abd)",
            "SUBSET 'U' has 'ABD', which is not in PATTERN: did you mean 'ABC'?",
        ),
        ("PATTERN (A B) SUBSET U = (A, A)", "SUBSET 'U' has 'A' twice"),
        ("PATTERN (A B) SUBSET U = (A), W = (U)", "SUBSET 'W' has 'U', a subset itself"),
        ("PATTERN (A B) SUBSET U = (A) DEFINE U AS ok", "DEFINE of 'U', which is a SUBSET"),
        (
            "PATTERN (A B) SUBSET U = (A) DEFINE A AS i > W.i",
            "'W' is no variable of PATTERN: Its variables are A, B, U",
        ),
        (
            "PATTERN (A B) SUBSET both = (A) DEFINE A AS i > both",
            "there is no column 'both': it is a pattern",
        ),
        (
            "AFTER MATCH SKIP TO FIRST X PATTERN (A B)",
            "AFTER MATCH SKIP TO 'X', which is no variable of PATTERN",
        ),
        (
            "AFTER MATCH SKIP TO Uniom PATTERN (A B) SUBSET union_ = (A)",
            "AFTER MATCH SKIP TO 'UNIOM', which is no variable of PATTERN: did you mean 'UNION_'?",
        ),
        ("PATTERN (A) DEFINE A AS FINAL LAST(A.i) > 1", "FINAL LAST in DEFINE: the match is not known yet"),
        ("PATTERN (A) DEFINE A AS FINAL COUNT(*) > 1", "FINAL COUNT in DEFINE: the match is not known yet"),
        ("PATTERN (A) DEFINE A AS PREV(FINAL LAST(A.i)) > 1", "FINAL LAST in DEFINE: the match is not known"),
        ("PATTERN (A) DEFINE A AS SUM(COUNT(*)) > 1", "COUNT inside SUM: aggregates do not nest"),
        ("PATTERN (A) DEFINE A AS SUM(PREV(i)) > 1", "PREV inside SUM: an aggregate reads one row after"),
        ("MEASURES SUM(LAST(i)) AS x PATTERN (A)", "LAST inside SUM: an aggregate reads one row after"),
        ("MEASURES PREV(SUM(i)) AS x PATTERN (A)", "SUM inside PREV: an aggregate is a value of many rows"),
        (
            "MEASURES FIRST(PREV(i)) AS x PATTERN (A)",
            "PREV inside FIRST: PREV and NEXT can only stand around",
        ),
        (
            "MEASURES PREV(NEXT(i)) AS x PATTERN (A)",
            "NEXT inside PREV means nothing: PREV and NEXT do not nest",
        ),
        (
            "MEASURES NEXT(PREV(i)) AS x PATTERN (A)",
            "PREV inside NEXT means nothing: PREV and NEXT do not nest",
        ),
        (
            "MEASURES PREV(A.i + LAST(B.i)) AS x PATTERN (A B)",
            "the argument of PREV mixes columns of 'A' and of 'B'",
        ),
        (
            "MEASURES LAST(A.name || CLASSIFIER(B)) AS x PATTERN (A B)",
            "the argument of LAST mixes columns of 'A' and of 'B'",
        ),
        ("MEASURES MIN_BY(A.i, B.i) AS x PATTERN (A B)", "the argument of MIN_BY mixes columns of 'A' and"),
        (
            "MEASURES COUNT(U.i + A.i) AS x PATTERN (A B) SUBSET U = (A)",
            "the argument of COUNT mixes columns of 'U' and of 'A'",
        ),
        ("MEASURES LAST(MATCH_NUMBER()) AS x PATTERN (A)", "LAST needs a column in its argument"),
        (
            "MEASURES PREV(PREV(i), 2) AS x PATTERN (A)",
            "PREV inside PREV means nothing: PREV and NEXT do not",
        ),
        ("MEASURES BOOL_AND(i) AS x PATTERN (A)", "BOOL_AND takes a condition, and this is int64"),
        ("MEASURES STDDEV(name) AS x PATTERN (A)", "STDDEV of string is not supported"),
        ("MEASURES STDDEV(dur) AS x PATTERN (A)", "STDDEV of duration[ms] is not supported"),
        ("MEASURES SUM(NULL) AS x PATTERN (A)", "SUM of NULL, which has no type"),
        ("MEASURES ARRAY_AGG(list) AS x PATTERN (A)", "the column 'list' of type list<"),
        (
            "MEASURES MAX(CAST(i AS DECIMAL(10, 2))) AS x PATTERN (A)",
            "MAX of decimal128(10, 2) is not supported",
        ),
        (
            "PATTERN (A B) DEFINE B AS LOWER(A.name || name) = 'x'",
            "LOWER over several rows is not supported here: a function of the library",
        ),
        (
            "PATTERN (A B) DEFINE B AS LOWER(CLASSIFIER(A)) = 'x'",
            "LOWER over CLASSIFIER is not supported here",
        ),
        ("PATTERN (A B) DEFINE B AS LOWER(MIN(A.name)) = 'x'", "LOWER over MIN is not supported here"),
        (
            "MEASURES MAX(name || CAST(MATCH_NUMBER() AS VARCHAR)) AS x PATTERN (A)",
            "CONCAT over MATCH_NUMBER is",
        ),
        (
            "PATTERN (A) DEFINE A AS ARRAY_AGG(i)[1] = 1",
            "one element of ARRAY_AGG is not supported in DEFINE",
        ),
        (
            "PATTERN (A) DEFINE A AS CONTAINS(ARRAY_AGG(i), 1)",
            "CONTAINS of ARRAY_AGG is not supported in DEFINE",
        ),
        ("PATTERN (A) DEFINE A AS ARRAY_AGG(i) < ARRAY[1]", "< cannot compare list<item: int64>"),
        ("PATTERN (A) DEFINE A AS ARRAY_AGG(i) = ARRAY['a']", "= cannot compare number with string"),
        (
            "PATTERN (A B) DEFINE B AS ARRAY_AGG(i) = ARRAY[A.i]",
            "ARRAY_AGG is compared here with what is neither an array of constants nor another ARRAY_AGG",
        ),
        ("PATTERN (A) DEFINE A AS nope(i) = 1", "there is no function NOPE"),
        (
            "PATTERN (A) DEFINE A AS CASE WHEN i THEN ok END",
            "what stands behind WHEN has to be true or false",
        ),
        (
            "PARTITION BY SUM(i) PATTERN (A)",
            "SUM means nothing in PARTITION BY, which reads one row by itself",
        ),
        ("PARTITION BY PREV(i) PATTERN (A)", "PREV means nothing in PARTITION BY, which reads one row by"),
        ("ORDER BY CLASSIFIER() PATTERN (A)", "CLASSIFIER means nothing in ORDER BY, which reads one row by"),
        (
            "ORDER BY 1 PATTERN (A)",
            "ORDER BY takes columns and what is computed from them, and this is the same",
        ),
        ("PARTITION BY i + 1, I + 1 PATTERN (A)", "'I + 1' is twice in PARTITION BY"),
        (
            "ORDER BY CAST(i AS DECIMAL(10, 2)) PATTERN (A)",
            "ORDER BY a column of type decimal128(10, 2) is not",
        ),
        (
            "MEASURES f AS Name ALL ROWS PER MATCH PATTERN (A)",
            "the measure 'Name' has the name of a column of the input, which ALL ROWS PER MATCH shows too",
        ),
        (
            'PARTITION BY i % 2 MEASURES f AS "i % 2" PATTERN (A)',
            "the measure 'i % 2' has the name of a partition",
        ),
        ("PATTERN (A B) DEFINE B AS i > X.i", "'X' is no variable of PATTERN: Its variables are A, B"),
        ("PATTERN (Abc B) DEFINE B AS i > Abd.i", "'ABD' is no variable of PATTERN: did you mean 'ABC'?"),
        ("PATTERN (A B) DEFINE B AS i > A", "there is no column 'A': it is a pattern variable"),
        ("PATTERN (A) DEFINE A AS PREV(1) > 1", "PREV needs a column in its argument"),
        ("MEASURES X.i AS x PATTERN (A)", "'X' is no variable of PATTERN"),
        ("MEASURES COUNT(X.*) AS x PATTERN (A)", "'X' is no variable of PATTERN"),
        ("MEASURES CLASSIFIER(X) AS x PATTERN (A)", "'X' is no variable of PATTERN"),
        ("MEASURES FIRST(1) AS x PATTERN (A)", "FIRST needs a column in its argument"),
        (
            "MEASURES FIRST(LAST(i)) AS x PATTERN (A)",
            "LAST inside FIRST means nothing: FIRST and LAST do not",
        ),
        (
            "MEASURES FIRST(i + COUNT(*)) AS x PATTERN (A)",
            "COUNT inside FIRST: an aggregate is a value of many rows, and FIRST goes to one",
        ),
        (
            "MEASURES FIRST(A.i + B.i) AS x PATTERN (A B)",
            "the argument of FIRST mixes columns of 'A' and of 'B'",
        ),
        ("MEASURES LAST(A.i + f) AS x PATTERN (A B)", "the argument of LAST mixes columns of 'A' and of no"),
        ("MEASURES SUM(COUNT(i)) AS x PATTERN (A)", "COUNT inside SUM: aggregates do not nest"),
        ("MEASURES SUM(A.i * B.i) AS x PATTERN (A B)", "the argument of SUM mixes columns of 'A' and of 'B'"),
        ("MEASURES SUM(name) AS x PATTERN (A)", "SUM of string is not supported"),
        ("MEASURES AVG(ts) AS x PATTERN (A)", "AVG of timestamp[us] is not supported"),
        (
            "MEASURES AVG(dur) AS x PATTERN (A)",
            "AVG of duration[ms] is not supported: SUM and COUNT of it give the same",
        ),
        ("MEASURES MIN(dec) AS x PATTERN (A)", "the column 'dec' of type decimal128(10, 2) cannot be read"),
        ("MEASURES MAX(nothing) AS x PATTERN (A)", "MAX of the column 'nothing', which has no type"),
        ("MEASURES NULL AS x PATTERN (A)", "the measure 'x' is always NULL and has no type"),
        ("MEASURES nothing AS x PATTERN (A)", "the measure 'x' is always NULL and has no type"),
        (
            "MEASURES TIMESTAMP '9999-01-01 00:00' AS x PATTERN (A)",
            "the value is out of the range of timestamp",
        ),
        ("PATTERN (A{70000})", "the pattern is too large"),
        (f"PATTERN ({' '.join(f'V{i}' for i in range(65))})", "PATTERN has more than 64 different variables"),
    ],
)
def test_a_wrong_clause_is_refused(text, wrong):
    got = message(text, compile_clause)
    assert got.startswith(wrong), got
    assert "\nline 1, column " in got


# Properties

ATOMS = [
    "i8",
    "i",
    "u32",
    "u",
    "f32",
    "f",
    "ok",
    "name",
    "account",
    "d",
    "s",
    "ts",
    "z",
    "t",
    "dur",
    "nothing",
    "raw",
    "1",
    "2.5",
    "-3",
    "NULL",
    "TRUE",
    "'x'",
    "'2024-01-01'",
    "DATE '2024-01-01'",
    "INTERVAL '1' DAY",
    "TIMESTAMP '2024-01-01 00:00:00.5'",
    "18446744073709551615",
    "A.i",
    "B.ts",
    "COUNT(*)",
    "LAST(A.f)",
    "FIRST(i, 1)",
    "SUM(A.i)",
    "MAX(B.ts)",
    "CLASSIFIER()",
    "CLASSIFIER(A)",
    "MATCH_NUMBER()",
    "PREV(LAST(A.i, 1), 2)",
]
OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "=", "<", ">=", "AND", "OR"])


def texts():
    return st.recursive(
        st.sampled_from(ATOMS),
        lambda inner: st.one_of(
            st.builds("({} {} {})".format, inner, OPERATORS, inner),
            st.builds("(NOT {})".format, inner),
            st.builds("(- {})".format, inner),
            st.builds("({} IS NULL)".format, inner),
            st.builds("({} BETWEEN {} AND {})".format, inner, inner, inner),
            st.builds("({} IN ({}, {}))".format, inner, inner, inner),
            st.builds("PREV({}, 2)".format, inner),
            st.builds("NEXT({})".format, inner),
            st.builds("FIRST({})".format, inner),
            st.builds("AVG({})".format, inner),
            st.builds("COALESCE({}, {})".format, inner, inner),
            st.builds("CASE WHEN {} THEN {} ELSE {} END".format, inner, inner, inner),
        ),
        max_leaves=6,
    )


CLASSES = {"i64": int, "u64": int, "f64": float, "bool": bool, "str": (str, bytes)}


def check(node):
    """The contract of the IR that the kernel relies on."""
    kinds = [kernel_kind(a.type) for a in node.args]
    if node.op in ("add", "sub", "mul", "div", "mod"):
        assert kinds == [kernel_kind(node.type)] * 2
        assert kinds[0] in ("i64", "u64", "f64")
    elif node.op in ("eq", "ne", "lt", "le", "gt", "ge"):
        assert kinds[0] == kinds[1] or set(kinds) == {"i64", "u64"}
        assert node.args[0].op != "const"
        assert node.type == pa.bool_()
    elif node.op in ("and", "or"):
        assert kinds == ["bool", "bool"]
    elif node.op == "cast":
        if node.attr is None:
            assert kernel_kind(node.type) in ("f64", kinds[0])
        else:
            assert node.attr in ("check", "try") or node.attr > 1
    elif node.op == "in":
        values, has_null = node.attr
        assert values
        assert isinstance(has_null, bool)
        assert all(isinstance(v, CLASSES[kinds[0]]) for v in values)
    elif node.op == "if":
        assert kinds == ["bool", kernel_kind(node.type), kernel_kind(node.type)]
    elif node.op == "const" and node.attr is not None:
        kind = kernel_kind(node.type)
        assert isinstance(node.attr, CLASSES[kind])
        if kind in ("i64", "u64"):
            low, high = (LOW, HIGH) if kind == "i64" else (0, 2**64 - 1)
            assert low <= node.attr <= high
    else:
        assert node.op in ("column", "leaf", "const", "neg", "not", "is_null", "is_not_null")
    for arg in node.args:
        check(arg)


def check_leaves(leaves, n_variables):
    for leaf in leaves:
        assert 0 < leaf.variables < 1 << n_variables
        assert (leaf.column != -1) + bool(leaf.arguments) == (
            leaf.kind not in ("count_rows", "classifier", "match_number")
        )
        assert leaf.offset >= 0
        for argument in leaf.arguments:
            check(argument)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(texts(), st.sampled_from(["condition", "define", "measure", "all"]))
def test_any_expression_is_typed_by_the_contract_or_refused(text, where):
    error = ""
    try:
        if where == "condition":
            check(compile_condition(text, SCHEMA))
            return
        if where == "define":
            plan = compile_clause(f"PATTERN (A B) DEFINE A AS {text}", SCHEMA)
        else:
            rows = "ALL ROWS" if where == "all" else "ONE ROW"
            plan = compile_clause(f"MEASURES {text} AS m {rows} PER MATCH PATTERN (A B)", SCHEMA)
        trees = [*plan.conditions, *plan.rests, *(m.node for m in plan.measures)]
        for node in trees:
            check(node)
        reads = [part for part in walk(*plan.conditions) if part.op in ("column", "leaf")]
        assert all(part.op == "column" and part.attr[1] >= 0 for part in reads)
        for nodes, leaves in (
            (plan.rests, plan.define_leaves),
            ([m.node for m in plan.measures], plan.leaves),
        ):
            check_leaves(leaves, 2)
            assert {part.attr for part in walk(*nodes) if part.op == "leaf"} == set(range(len(leaves)))
        assert execution_class(plan) in "abc"
    except PatternError as wrong:
        error = str(wrong)
    assert not error or "\nline 1, column " in error


@given(st.sampled_from(["<", "<=", ">", ">=", "=", "<>"]), st.integers(-3, 3), st.integers(-7, 7))
def test_a_bound_in_a_finer_unit_keeps_its_meaning(operator, seconds, halves):
    methods = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "=": "eq", "<>": "ne"}
    expected = getattr(seconds * 2, f"__{methods[operator]}__")(halves)
    text = f"dur {operator} INTERVAL '{halves / 2}' SECOND"
    node = compile_condition(text, pa.schema({"dur": pa.duration("s")}))
    assert getattr(seconds, f"__{node.op}__")(node.args[1].attr) == expected


PLAIN = pa.schema({"f": pa.float64(), "name": pa.string(), "i": pa.int64()})


def test_a_column_twice_in_order_by_is_once_in_the_order() -> None:
    plan = compile_clause("ORDER BY i DESC, name, i ASC ALL ROWS PER MATCH PATTERN (A)", PLAIN)
    names = [PLAIN.field(index).name for index, _, _ in plan.order]
    assert (names, plan.order[0][1]) == (["i", "name"], True)
    assert plan.output_schema.names[:3] == ["i", "name", "f"]


def test_lists_of_definitions_meet_in_one_type() -> None:
    clause = "PATTERN (A B) DEFINE B AS ARRAY_AGG(A.i) = ARRAY[1.5, NULL] AND CARDINALITY(ARRAY_AGG(A.i)) = 2"
    plan = compile_clause(clause, PLAIN)
    kinds = sorted((leaf.kind, str(leaf.type), len(leaf.arguments)) for leaf in plan.define_leaves)
    assert kinds == [("array_agg", "binary", 1), ("count_rows", "int64", 0)]
