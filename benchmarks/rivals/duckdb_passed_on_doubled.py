"""DuckDB: the receiver's first payment of more than twice as much, as a self-join with MIN, one thread. Exact."""

import duckdb
import pyarrow as pa

from benchmarks.data import PASS_ON_S
from benchmarks.rivals.duckdb_passed_on import setup  # noqa: F401

NAME = "DuckDB, self-join by hand"
REQUIRES = ("duckdb",)
DATA = "transfers"

QUERY = f"""
SELECT a.ts AS start_ts, min(b.ts) AS end_ts
FROM t a JOIN t b ON b.account = a.target AND b.ts > a.ts AND b.ts < a.ts + INTERVAL {PASS_ON_S} SECOND
     AND b.amount > 2 * a.amount
GROUP BY a.ts
"""


def run(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    return connection.sql(QUERY).to_arrow_table()
