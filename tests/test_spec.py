"""Every spec case through every door and cut: the matches, their one order, and the event that each comes
with."""

from __future__ import annotations

import re

import pytest

import doors
import oracle
import tocsin
from spec_cases import SpecCase, assert_same, dict_keys, load

CASES = load()
FINE = [c for c in CASES if not c.error]
FAULTY = [c for c in CASES if c.error]


def time_of(case: SpecCase) -> str | None:
    """WITHIN is measured on a stream's time column; the other cases' streams have none."""
    return case.order_by[0] if case.within else None


def doors_of(case: SpecCase) -> list[str]:
    return [name for name in doors.DOORS if name.split(",")[0] in case.doors]


@pytest.mark.parametrize("case", FINE, ids=lambda c: c.id)
def test_every_class_finds_the_matches_of_the_case(case: SpecCase) -> None:
    names = case.columns_out()
    wanted = dict_keys(case.expected_rows(), names)
    for execution in doors.classes(case.clause(), case.table()):
        if execution == "d" and not case.search:
            continue
        if "matcher" in case.doors:
            found = doors.by_every_cut(case.clause(), case.table(), names, execution)
        else:
            found = {"call": doors.by_call(case.clause(), case.table(), names, execution=execution)}
        for door, rows in found.items():
            what = f"class {execution}, {door}\n{case.clause()}"
            assert_same(rows, wanted, what)
            assert rows == next(iter(found.values())), f"the order of {what}"


@pytest.mark.parametrize("case", FINE, ids=lambda c: c.id)
def test_columns_stand_in_the_standards_order(case: SpecCase) -> None:
    found = tocsin.match_recognize(case.table(), case.clause()).schema.names
    keys = {*case.partition_by, *(oracle.sort_key(k)[0] for k in case.order_by)}
    if keys <= set(case.table().column_names):  # computed keys have names that no standard gives
        assert found == case.columns_out()


@pytest.mark.parametrize("case", FINE, ids=lambda c: c.id)
def test_rows_of_a_partition_come_by_certainty_then_by_start(case: SpecCase) -> None:
    """Those of one match together."""
    names = case.columns_out()
    keys = [names.index(c) for c in case.partition_by if c in names]

    def by_partition(rows: list[tuple]) -> dict[tuple, list[tuple]]:
        parts: dict[tuple, list[tuple]] = {}
        for row in rows:
            parts.setdefault(tuple(row[k] for k in keys), []).append(row)
        return parts

    found = doors.by_call(case.clause(), case.table(), names)
    if len(keys) == len(case.partition_by):
        assert by_partition(found) == by_partition(dict_keys(case.oracle_matches(), names)), case.clause()


@pytest.mark.parametrize("case", FINE, ids=lambda c: c.id)
def test_matches_come_in_one_order_by_whichever_door(case: SpecCase) -> None:
    names = case.columns_out()
    orders = {
        door: doors.DOORS[door](case.clause(), case.table(), names, time_of(case)) for door in doors_of(case)
    }
    first = next(iter(orders.values()))
    assert all(order == first for order in orders.values()), orders


@pytest.mark.parametrize("case", [c for c in FINE if "matcher" in c.doors], ids=lambda c: c.id)
def test_a_match_comes_with_the_event_that_makes_it_certain(case: SpecCase) -> None:
    names, n = case.columns_out(), case.table().num_rows
    pushes = doors.by_matcher(case.clause(), case.table(), names, [1] * n)
    found = [(row, at if at < n else None) for at, rows in enumerate(pushes) for row in rows]
    right = case.oracle_matches()
    settled = [m["_settled"] for m in right]
    assert_same(found, zip(dict_keys(right, names), settled, strict=True), case.clause())


@pytest.mark.parametrize("case", [c for c in FINE if c.types], ids=lambda c: c.id)
def test_measures_have_the_types_of_their_columns(case: SpecCase) -> None:
    schema = tocsin.match_recognize(case.table(), case.clause()).schema
    assert {name: str(schema.field(name).type) for name in case.types} == case.types


@pytest.mark.parametrize("cut", [1, 3, 62])
@pytest.mark.parametrize("case", [c for c in FAULTY if c.raw is None], ids=lambda c: c.id)
def test_a_fault_that_only_rows_tell_raises(case: SpecCase, cut: int) -> None:
    table = case.table()
    error = getattr(tocsin, str(case.error))
    for execution in [None, *doors.classes(case.clause(), table)]:
        with pytest.raises(error) as one:
            tocsin.match_recognize(table, case.clause(), execution=execution)
        sizes = doors.even(table.num_rows, cut)
        with pytest.raises(error):
            doors.by_matcher(case.clause(), table, case.columns_out(), sizes, execution=execution)
        assert all(word in str(one.value) for word in case.says), str(one.value)


@pytest.mark.parametrize("case", [c for c in FAULTY if c.raw is not None], ids=lambda c: c.id)
def test_a_wrong_clause_is_refused_at_its_place(case: SpecCase) -> None:
    with pytest.raises(getattr(tocsin, str(case.error))) as fault:
        tocsin.match_recognize(case.table(), case.clause())
    message = str(fault.value)
    assert all(word in message for word in case.says), message
    if case.place is not None:
        line, columns = case.place
        found = re.search(r"line (\d+), column (\d+):", message)
        assert found, message
        assert int(found[1]) == line, message
        assert int(found[2]) in columns, message
    with pytest.raises(getattr(tocsin, str(case.error))):
        tocsin.Matcher(case.clause(), case.table().schema)
