"""Tables and clauses that the tests of tc.sql share."""

from __future__ import annotations

import tocsin as tc

# Two falls and rises of "a" (9 7 8 9, then 4 6) and one of "b" (5 3 4).
PRICES = {
    "k": ["a", "a", "b", "a", "b", "a", "b", "a", "a"],
    "t": [1, 2, 2, 3, 3, 4, 4, 5, 6],
    "price": [9, 7, 5, 8, 3, 9, 4, 4, 6],
}
SHOPS = {"k": ["a", "b"], "name": ["Adam", "Berta"]}
VEES = """MATCH_RECOGNIZE (
    PARTITION BY k ORDER BY t
    MEASURES LAST(down.price) AS bottom, LAST(up.price) AS top, MATCH_NUMBER() AS number
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (down+ up+)
    DEFINE down AS price < PREV(price), up AS price > PREV(price)
)"""
COUNT = "MATCH_RECOGNIZE (ORDER BY id MEASURES COUNT(*) AS n, LAST(A.id) AS last PATTERN (A+))"


def rows(query, **tables):
    return tc.sql(query, **(tables or {"prices": PRICES, "shops": SHOPS})).to_pylist()
