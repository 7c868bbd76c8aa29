"""Questions over `data.transfers` whose conditions read several rows of the match: the clauses, and their judges.

The judges know nothing of patterns. Rows of one account form a chain (`Chains`), so that the first payment of
an account after a row is a binary search and the one after that a look-up: a hash join that keeps the order.
From there on each question is a loop over candidates, for all of its starts at once, in numpy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from benchmarks.data import PASS_ON_S, Data

TWO = ("start_ts", "end_ts")
THREE = ("start_ts", "middle_ts", "end_ts")
SECOND = 1_000_000  # in the microseconds of ts
NEXT_S, CHAIN_S = 60, 30 * 60
LARGE = 300.0
NONE = np.iinfo(np.int64).max  # as a row: there is none

PAST, TO_NEXT = "PAST LAST ROW", "TO NEXT ROW"


def _clause(measures: str, skip: str, pattern: str, within_s: int | None, define: str) -> str:
    within = "" if within_s is None else f" WITHIN INTERVAL '{within_s}' SECOND"
    return f"""
        ORDER BY ts
        MEASURES {measures}
        ONE ROW PER MATCH AFTER MATCH SKIP {skip}
        PATTERN ({pattern}){within}
        DEFINE {define}
    """


def doubled(skip: str) -> str:
    """A payment, and the very next one is of more than twice as much."""
    return _clause("a.ts AS start_ts, b.ts AS end_ts", skip, "a b", None, "b AS amount > 2 * a.amount")


def passed_on(skip: str, within_s: int = PASS_ON_S, doubled: bool = False) -> str:
    """A payment, and the first one that its receiver makes (of more than twice as much)."""
    more = " AND amount > 2 * a.amount" if doubled else ""
    measures = "a.ts AS start_ts, b.ts AS end_ts"
    return _clause(measures, skip, "a x*? b", within_s, f"b AS account = a.target{more}")


def _three(within_s: int, define: str) -> str:
    measures = "a.ts AS start_ts, b.ts AS middle_ts, c.ts AS end_ts"
    return _clause(measures, PAST, "a x*? b y*? c", within_s, define)


def bounded() -> str:
    """A large payment; another soon after; its receiver pays more than the first. B is any row within the bound."""
    return _three(
        NEXT_S,
        f"a AS amount > {LARGE}, b AS ts - a.ts < INTERVAL '{NEXT_S // 2}' SECOND, "
        "c AS account = b.target AND amount > a.amount",
    )


def chained() -> str:
    """A payment that its receiver passes on within the bound, and whose receiver pays more than the first."""
    return _three(
        CHAIN_S,
        f"a AS amount > {LARGE}, b AS account = a.target AND ts - a.ts < INTERVAL '{CHAIN_S // 2}' SECOND, "
        "c AS account = b.target AND amount > a.amount",
    )


class Chains:
    """The rows of each account, in order: `first[r]` the first row after r whose account is r's target, `next[r]`
    the next row of r's own account; NONE if there is none."""

    def __init__(self, data: Data) -> None:
        columns = data.columns
        self.ts, self.amount = columns["ts"], columns["amount"]
        n = len(self.ts)
        _, coded = np.unique(np.concatenate([columns["account"], columns["target"]]), return_inverse=True)
        account, target = coded[:n], coded[n:]
        rows = np.arange(n)
        order = np.argsort(account, kind="stable")
        keys = account[order] * n + order  # by account, then by row
        place = np.searchsorted(keys, target * n + rows, side="right")
        found = np.append(order, 0)[place]
        same = (place < n) & (account[found] == target)
        self.first = np.where(same, found, NONE)
        self.next = np.full(n, NONE)
        together = account[order[1:]] == account[order[:-1]]
        self.next[order[:-1][together]] = order[1:][together]
        self.after = np.append(rows[1:], NONE)

    def seek(self, start: np.ndarray, row: np.ndarray, within_s: int, least: np.ndarray | None) -> np.ndarray:
        """From `row` along its account: the first row less than `within_s` after `start`'s time whose amount is above
        `least`; NONE if there is none."""
        answer = np.full(len(row), NONE)
        open_ = np.arange(len(row))
        row = row.copy()
        while len(open_):
            keep = row != NONE
            keep[keep] = self.ts[row[keep]] - self.ts[start[open_[keep]]] < within_s * SECOND
            open_, row = open_[keep], row[keep]
            good = np.full(len(row), True) if least is None else self.amount[row] > least[open_]
            answer[open_[good]] = row[good]
            open_, row = open_[~good], self.next[row[~good]]
        return answer


def _skip(start: np.ndarray, end: np.ndarray, skip: str) -> np.ndarray:
    """Which of the matches that begin at `start` (ascending) stand, given where the one before ended."""
    if skip == TO_NEXT:
        return np.arange(len(start))
    stands, at = [], 0
    while at < len(start):
        stands.append(at)
        at = int(np.searchsorted(start, end[at], side="right"))
    return np.array(stands, np.int64)


def judge_doubled(data: Data, skip: str) -> Callable[[], pa.Table]:
    def run() -> pa.Table:
        amount, ts = data.columns["amount"], data.columns["ts"]
        start = np.flatnonzero(amount[1:] > 2 * amount[:-1])
        start = start[_skip(start, start + 1, skip)]
        return pa.table({"start_ts": ts[start], "end_ts": ts[start + 1]})

    return run


def judge_passed_on(
    data: Data, skip: str, within_s: int = PASS_ON_S, doubled: bool = False
) -> Callable[[], pa.Table]:
    def run() -> pa.Table:
        chains = Chains(data)
        start = np.arange(data.events)
        end = chains.seek(start, chains.first, within_s, 2 * chains.amount if doubled else None)
        start, end = start[end != NONE], end[end != NONE]
        stands = _skip(start, end, skip)
        return pa.table({"start_ts": chains.ts[start[stands]], "end_ts": chains.ts[end[stands]]})

    return run


def _judge_three(data: Data, within_s: int, linked: bool) -> pa.Table:
    """The earliest b that has a c, then the earliest c; b's next candidate is the next row, or its account's."""
    chains = Chains(data)
    onward = chains.next if linked else chains.after
    start = np.flatnonzero(chains.amount > LARGE)
    row = (chains.first if linked else chains.after)[start]
    found: list[np.ndarray] = []
    while len(start):
        keep = row != NONE
        keep[keep] = chains.ts[row[keep]] - chains.ts[start[keep]] < within_s // 2 * SECOND
        start, row = start[keep], row[keep]
        end = chains.seek(start, chains.first[row], within_s, chains.amount[start])
        good = end != NONE
        found.append(np.stack([start[good], row[good], end[good]]))
        start, row = start[~good], onward[row[~good]]
    matches = np.concatenate([*found, np.empty((3, 0), np.int64)], axis=1)
    matches = matches[:, np.argsort(matches[0])]
    matches = matches[:, _skip(matches[0], matches[2], PAST)]
    return pa.table(dict(zip(THREE, chains.ts[matches], strict=True)))


def judge_bounded(data: Data) -> Callable[[], pa.Table]:
    return lambda: _judge_three(data, NEXT_S, linked=False)


def judge_chained(data: Data) -> Callable[[], pa.Table]:
    return lambda: _judge_three(data, CHAIN_S, linked=True)
