"""Conditions across variables, live: money that is passed on, from hand to hand, within an hour.

A payment opens a trail. Each further hop is made by the one whom the payment before went to, and passes on four
fifths of it or more. In the definition of hop, the last row of link is the payment in question, so LAST(…, 1) is
the one before. What others pay in between is part of the match, but not shown. A trail comes out with its third
payment.
"""

import pyarrow as pa

import tocsin as tc

SCHEMA = pa.schema(
    {"ts": pa.timestamp("s"), "payer": pa.string(), "payee": pa.string(), "amount": pa.int64()}
)
TRAIL = """
    ORDER BY ts
    MEASURES MATCH_NUMBER() AS trail, CLASSIFIER() AS step, FIRST(amount) - amount AS kept
    ALL ROWS PER MATCH AFTER MATCH SKIP TO NEXT ROW
    PATTERN (source ({- other*? -} hop){2}) WITHIN INTERVAL '1' HOUR SUBSET link = (source, hop)
    DEFINE hop AS payer = LAST(link.payee, 1) AND amount BETWEEN 0.8 * LAST(link.amount, 1) AND LAST(link.amount, 1)
"""
PAYMENTS = [  # minute, payer, payee, amount
    (0, "ann", "bob", 900),
    (5, "eve", "bob", 40),
    (11, "bob", "cat", 860),
    (12, "cat", "fay", 30),
    (20, "cat", "dan", 700),
    (75, "dan", "ann", 690),
]

with tc.Engine(workers=0) as engine:
    payments = engine.stream("payments", SCHEMA, time="ts")
    trails = engine.trigger("trails", payments, TRAIL)

    @trails.handler
    def report(matches):
        for row in matches.to_pylist():
            print("  {trail} {step:6} {payer} -> {payee}: {amount}, {kept} kept so far".format(**row))

    for minute, payer, payee, amount in PAYMENTS:
        print(f"minute {minute}: {payer} pays {payee} {amount}")
        payments.push({"ts": 60 * minute, "payer": payer, "payee": payee, "amount": amount})
