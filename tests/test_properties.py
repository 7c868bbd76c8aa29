"""Random patterns, conditions, tables and cuts against the oracle: DESIGN's promises 1, 2 and 3.

`HYPOTHESIS_PROFILE=deep pytest tests/test_properties.py` tries each property on 10 000 cases, that of the whole clause
on 100 000.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import doors
import oracle
import tocsin
from oracle_pattern import compile_pattern, ways
from spec_cases import assert_same, dict_keys, pattern_variables, row_keys
from strategies import Case, cases, cuts, patterns
from tocsin.compile.automata import MATCH, build
from tocsin.language.pattern import parse_pattern
from whole_cases import smaller, whole_case, whole_cut


@given(patterns())
def test_the_automaton_has_the_paths_of_the_oracle_in_their_order(pattern: str) -> None:
    """Position for position: the lists of what may come next, cut after the place where the match may end."""
    program, names = compile_pattern(pattern), pattern_variables(pattern)
    rows = [at for at, instruction in enumerate(program) if instruction[0] == "row"]

    def reached(at: int) -> tuple[int, ...]:
        found = [rows.index(pc) if pc in rows else MATCH for pc, _ in ways(program, at)]
        return tuple(found[: found.index(MATCH) + 1] if MATCH in found else found)

    automaton = build(parse_pattern(pattern), {name: i for i, name in enumerate(names)})
    assert automaton.variables == tuple(names.index(program[pc][1]) for pc in rows)
    assert automaton.first == reached(0)
    assert automaton.follow == tuple(reached(pc + 1) for pc in rows)


@given(cases())
def test_one_call_finds_what_the_oracle_finds(case: Case) -> None:
    names = case.columns_out()
    found = doors.by_call(case.clause(), case.table, names)
    assert_same(found, dict_keys(case.oracle(), names), case.clause())


@given(cases(), st.data())
def test_every_cut_gives_the_same_matches_in_the_same_order(case: Case, data: st.DataObject) -> None:
    names = case.columns_out()
    cut = data.draw(cuts(case.table.num_rows))
    whole = doors.by_matcher(case.clause(), case.table, names, [case.table.num_rows])
    parts = doors.by_matcher(case.clause(), case.table, names, cut)
    assert doors.flat(parts) == doors.flat(whole), case.clause()
    assert_same(doors.flat(whole), dict_keys(case.oracle(), names), case.clause())


@given(cases(), st.data())
def test_saving_and_restoring_anywhere_changes_nothing(case: Case, data: st.DataObject) -> None:
    names = case.columns_out()
    cut = data.draw(cuts(case.table.num_rows))
    straight = doors.by_matcher(case.clause(), case.table, names, cut)
    assert doors.by_matcher(case.clause(), case.table, names, cut, saved=True) == straight, case.clause()


@given(cases())
def test_a_match_comes_with_the_event_that_makes_it_certain(case: Case) -> None:
    names, n = case.columns_out(), case.table.num_rows
    pushes = doors.by_matcher(case.clause(), case.table, names, [1] * n)
    found = [(row, at if at < n else None) for at, rows in enumerate(pushes) for row in rows]
    right = case.oracle()
    wanted = zip(dict_keys(right, names), [m["_settled"] for m in right], strict=True)
    assert_same(found, wanted, case.clause())


@given(cases(within=st.integers(1, 6)))
def test_a_watermark_beyond_every_window_leaves_nothing_for_the_end(case: Case) -> None:
    names = case.columns_out()
    matcher = tocsin.Matcher(case.clause(), case.table.schema)
    (batch,) = doors.batches(case.table, [case.table.num_rows])
    found = row_keys(matcher.push(batch), names)
    times = case.table.column("t").to_pylist()
    if times:
        found += row_keys(matcher.advance(times[-1] + dt.timedelta(seconds=case.within or 0)), names)
    assert row_keys(matcher.finish(), names) == []
    assert_same(found, dict_keys(case.oracle(), names), case.clause())


@pytest.mark.parametrize("workers", [0, 1, 2, 7])
@given(case=cases(), data=st.data())
def test_the_engine_finds_what_the_matcher_finds(workers: int, case: Case, data: st.DataObject) -> None:
    names = case.columns_out()
    cut = data.draw(cuts(case.table.num_rows))
    found = doors.by_engine(case.clause(), case.table, names, cut, workers=workers, time="t")
    whole = doors.by_matcher(case.clause(), case.table, names, [case.table.num_rows])
    assert found == doors.flat(whole), case.clause()


# ---------------------------------------------------------------- the whole clause


def verdict(case: Case, seed: int) -> str | None:
    """What is wrong with what the matcher finds, in a class, a cut and a way of saving that `seed` chooses."""
    r = Random(seed)
    n, names, clause = case.table.num_rows, case.columns_out(), case.clause()
    classes = [None, *doors.classes(clause, case.table)]
    execution = r.choice(classes)
    cut = [1] * n if r.random() < 0.4 else whole_cut(r, n)
    how = f"class {execution}, cut {cut}"
    try:
        right = case.oracle()
    except oracle.EvaluationError as error:
        try:
            doors.by_matcher(clause, case.table, names, cut, execution=execution)
        except tocsin.EvaluationError:
            return None
        return f"{how}: nothing is raised, not {error}"
    try:
        pushes = doors.by_matcher(clause, case.table, names, cut, saved=r.random() < 0.3, execution=execution)
    except tocsin.TocsinError as error:
        return f"{how}: {type(error).__name__}: {error}"
    found, wanted = doors.flat(pushes), dict_keys(right, names)
    if Counter(found) != Counter(wanted):
        return f"{how}:\n found {found}\n not   {wanted}"
    if cut == [1] * n:
        came = Counter((row, at if at < n else None) for at, rows in enumerate(pushes) for row in rows)
        certain = Counter(zip(wanted, [row["_settled"] for row in right], strict=True))
        if came != certain:
            return f"{how}:\n came at {dict(came - certain)}\n not at  {dict(certain - came)}"
    # With SKIP TO NEXT ROW one row may settle several matches: windows that it closes come before what waited for it.
    waits = case.skip == "next" and ("NEXT(" in clause or "$" in clause)
    if not case.partition_by and not waits and found != wanted:
        return f"{how}: the order\n found {found}\n not   {wanted}"
    return None


@settings(max_examples=10 * settings().max_examples, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**48))
def test_the_whole_clause_in_any_class_and_cut(seed: int) -> None:
    case = whole_case(Random(seed))
    wrong = verdict(case, seed)
    if wrong is not None:
        small = smaller(case, lambda c: _still_wrong(c, seed))
        wrong = f"{verdict(small, seed)}\n{small.clause()}\n{small.table.to_pydict()}\nof seed {seed}"
    assert wrong is None, wrong


def _still_wrong(case: Case, seed: int) -> bool:
    try:
        return verdict(case, seed) is not None
    except (oracle.OracleError, tocsin.PatternError):  # no clause any more
        return False
