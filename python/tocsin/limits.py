"""Limits: whole numbers that bound what is kept; what each bounds is said where it is given (docs/operating.md)."""

from __future__ import annotations

from typing import Any


def check_limit(whose: str, option: str, limit: Any, lowest: int = 1) -> int:
    """`limit`, if it is one; else a ValueError that names `whose` and `option`.

    >>> check_limit("stream 'trades'", "late_limit", 10)
    10
    """
    if type(limit) is not int or not lowest <= limit < 2**63:
        raise ValueError(f"{whose}: {option}={limit!r} must be a whole number, not below {lowest}")
    return limit


def state_limits(whose: str, max_partial_matches: Any, max_partitions: Any) -> tuple[int, int]:
    """Both as `Operator.limit` takes them: None becomes 0, no limit.

    >>> state_limits("trigger 'rise'", 1000, None)
    (1000, 0)
    """
    given = {"max_partial_matches": max_partial_matches, "max_partitions": max_partitions}
    first, second = (
        0 if limit is None else check_limit(whose, option, limit) for option, limit in given.items()
    )
    return first, second
