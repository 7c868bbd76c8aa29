"""The oracle's attempts: the search for a path through a pattern, and when its outcome is certain.

`oracle.py` says what is found and when it is certain; this file does it for one partition, given what tells whether a
row may be mapped to a variable after the rows before it (`Holds`).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oracle_expression import EvaluationError
from oracle_pattern import Program, ways
from oracle_value import PENDING, checked

# (variable, labels before, first row, row, match number, rows that have come, whether no more will) -> TRUE, or not
Holds = Callable[[str, list[str], int, int, int, int, bool], Any]
UNDECIDED = "undecided"


# ---------------------------------------------------------------- one attempt


@dataclass
class Attempt:
    program: Program
    holds: Holds
    start: int
    number: int
    stop: float  # the first row that lies outside the window, infinity if none has come
    local: bool  # no condition reads the match so far
    known_ways: dict[tuple[int, bool], list[tuple[int, bool]]]

    def search(self, known: int, ended: bool, closed: bool, any_path: bool = False) -> list[int] | str | None:
        """The preferred path, as the instructions of its rows; UNDECIDED; or None: there is none.

        `any_path`: of the paths that are complete already, whatever is preferred to them.
        """
        failed: set[tuple[int, int]] = set()
        labels: list[str] = []

        def go(at: int, row: int) -> list[int] | str | None:
            if (at, row) in failed:
                return None
            key = (at, row == 0)
            if key not in self.known_ways:
                self.known_ways[key] = ways(self.program, *key)
            for pc, at_end in self.known_ways[key]:
                found = step(pc, at_end, row)
                if found is not None and not (any_path and found == UNDECIDED):
                    return found
            if self.local:
                failed.add((at, row))
            return None

        def step(pc: int, at_end: bool, row: int) -> list[int] | str | None:
            if self.program[pc][0] == "done":
                if at_end and row < known:
                    return None
                return [] if ended or not at_end else UNDECIDED
            if row >= known:
                return None if ended or closed else UNDECIDED
            if row >= self.stop:
                return None
            variable = self.program[pc][1]
            holds = self.holds(variable, labels, self.start, row, self.number, known, ended)
            if holds is PENDING:
                return UNDECIDED
            if checked(holds, f"DEFINE {variable}") is not True:
                return None
            labels.append(variable)
            rest = go(pc + 1, row + 1)
            labels.pop()
            return [pc, *rest] if isinstance(rest, list) else rest

        return go(0, self.start)


def when(states: Sequence[tuple[float, int, bool]], reached: Callable[[tuple], bool]) -> float:
    """The first row after which `reached` holds, which then goes on holding; infinity: the end."""
    return states[bisect.bisect_left(range(len(states)), True, key=lambda i: reached(states[i]))][0]


def find(
    program: Program,
    holds: Holds,
    rows: Sequence[int],
    *,
    local: bool,
    skip: str = "past_last",
    times: Sequence[int] | None = None,
    within: int | None = None,
    numbered: bool = False,
    subsets: Mapping[str, set[str]] | None = None,
) -> list[dict[str, Any]]:
    """All matches and unmatched rows of one partition: `kind`, `start` (row of the partition), `labels`, `excluded`,
    `number`, `settled` (a row, or infinity)."""
    out: list[dict[str, Any]] = []
    reached: dict[tuple[int, bool], list[tuple[int, bool]]] = {}
    start, number, covered, n = 0, 1, -1, len(rows)
    earlier_decided: float = -1  # the row by which the attempts so far were decided; infinity: the end
    earlier_counted: float = -1
    horizon = len(times) if times is not None and within is not None else n and rows[-1] + 1
    while start < n:
        limit = math.inf if within is None or times is None else times[rows[start]] + within
        stop = next((i for i in range(start, n) if times is not None and times[rows[i]] >= limit), math.inf)
        attempt = Attempt(program, holds, start, number, stop, local, reached)
        states = [  # after row g: how many rows of the partition have come, and whether the window has closed
            (g, bisect.bisect_right(rows, g), times is not None and times[g] >= limit)
            for g in range(rows[start], horizon)
        ]
        states = [s for i, s in enumerate(states) if i == 0 or s[1:] != states[i - 1][1:]]
        path = attempt.search(n, True, True)
        assert path != UNDECIDED
        states.append((math.inf, n, True))

        def decided_at(state: tuple, attempt: Attempt = attempt) -> bool:
            return state[0] == math.inf or attempt.search(state[1], False, state[2]) != UNDECIDED

        def counted_at(state: tuple, attempt: Attempt = attempt) -> bool:
            return decided_at(state, attempt) or attempt.search(state[1], False, state[2], True) is not None

        decided = when(states, decided_at)
        settled = max(decided, earlier_decided)
        if skip == "next" and path is not None:
            settled = max(decided, earlier_counted) if numbered else decided
        if numbered and skip == "next":
            earlier_counted = max(earlier_counted, when(states, counted_at))
        earlier_decided = max(earlier_decided, decided)
        labels = [program[pc][1] for pc in path or ()]
        if path is not None or start > covered:
            out.append(
                {
                    "kind": "unmatched" if path is None else "found" if path else "empty",
                    "start": start,
                    "labels": labels,
                    "excluded": [program[pc][2] for pc in path or ()],
                    "number": number,
                    "settled": settled,
                }
            )
        number += path is not None
        covered = max(covered, start + len(labels) - 1)
        start += _skipped(skip, labels, subsets or {})
    return out


def _skipped(skip: str, labels: Sequence[str], subsets: Mapping[str, set[str]]) -> int:
    """How many rows on the next attempt is made."""
    if not labels or skip == "next":
        return 1
    if skip == "past_last":
        return len(labels)
    side, variable = skip.split(" ", 1)
    found = [j for j, label in enumerate(labels) if label in subsets.get(variable, {variable})]
    if not found:
        raise EvaluationError(f"SKIP TO {variable}, which has no row in the match")
    target = found[0] if side == "first" else found[-1]
    if target == 0:
        raise EvaluationError(f"SKIP TO {variable}, which is the first row of the match")
    return target


def match_letters(
    program: Program,
    holds: Callable[[str, int], bool],
    partitions: Sequence[Sequence[int]],
    **how: Any,
) -> list[dict[str, Any]]:
    """Matches over rows 0, 1, ... of which only the letters are known.

    `holds(variable, row)`, and `partitions` as lists of row numbers; `times` (non-decreasing) and `within` in
    one unit, `skip` and the rest as `find` takes it. Each match: `_start`, `_rows` (row numbers), `_classifier`,
    `_match_number`, `_settled`.
    """
    matches: list[dict[str, Any]] = []
    for rows in partitions:

        def local(variable: str, labels: list[str], start: int, i: int, *_: Any, rows: Any = rows) -> bool:
            return holds(variable, rows[i])

        found = find(program, local, rows, local=True, **how)
        matches += [described(m, rows, m["settled"]) for m in found if m["kind"] != "unmatched"]
    return matches


def described(match: Mapping[str, Any], rows: Sequence[int], settled: float) -> dict[str, Any]:
    start, labels = match["start"], match["labels"]
    return {
        "_start": rows[start],
        "_rows": list(rows[start : start + len(labels)]),
        "_classifier": labels,
        "_match_number": match["number"],
        "_settled": None if settled == math.inf else int(settled),
    }
