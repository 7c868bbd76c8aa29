"""Three small probes, then a large charge on the same card within five minutes: one call over a table."""

import datetime as dt

import pyarrow as pa

import tocsin as tc

START = dt.datetime(2026, 3, 2, 9, 30)

trades = pa.table(
    {
        "ts": [START + dt.timedelta(seconds=s) for s in (0, 20, 35, 40, 55, 90, 400)],
        "account": ["ann", "ann", "bob", "ann", "ann", "bob", "bob"],
        "amount": [1.0, 2.5, 40.0, 0.5, 1800.0, 3.0, 2200.0],
    }
)

hits = tc.match_recognize(
    trades,
    """
    PARTITION BY account ORDER BY ts
    MEASURES FIRST(probe.ts) AS started, hit.ts AS ended, COUNT(probe.*) AS probes
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (probe{3,} hit) WITHIN INTERVAL '5' MINUTE
    DEFINE probe AS amount < 10, hit AS amount > 1000
    """,
)

for hit in hits.to_pylist():
    started, ended = (format(hit[name], "%H:%M:%S") for name in ("started", "ended"))
    print(f"{hit['account']}: {hit['probes']} probes from {started}, charge at {ended}")
