"""Every spec case through every door and cut: the matches, their one order, and the event that each comes
with."""

from __future__ import annotations

import pytest

import doors
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


@pytest.mark.parametrize(
    ("case", "door"),
    [pytest.param(c, d, id=f"{c.id}: {d}") for c in FINE for d in doors_of(c)],
)
def test_the_door_finds_the_matches_of_the_case(case: SpecCase, door: str) -> None:
    names = case.columns_out()
    found = doors.DOORS[door](case.clause(), case.table(), names, time_of(case))
    assert_same(found, dict_keys(case.expected_rows(), names), case.clause())


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
@pytest.mark.parametrize("case", FAULTY, ids=lambda c: c.id)
def test_a_fault_in_an_expression_raises(case: SpecCase, cut: int) -> None:
    table = case.table()
    error = getattr(tocsin, str(case.error))
    with pytest.raises(error):
        tocsin.match_recognize(table, case.clause())
    with pytest.raises(error):
        doors.by_matcher(case.clause(), table, case.columns_out(), doors.even(table.num_rows, cut))
