"""DuckDB: the receiver's first payment after each payment as an ASOF join, one thread. Exactly the SQL answer.

An ASOF join has one inequality, so this works only while nothing but the accounts ties the two rows together.
"""

import duckdb
import pyarrow as pa

from benchmarks.data import PASS_ON_S, Data

NAME = "DuckDB, ASOF join by hand"
REQUIRES = ("duckdb",)
DATA = "transfers"

QUERY = f"""
SELECT a.ts AS start_ts, b.ts AS end_ts
FROM t a ASOF JOIN t b ON b.account = a.target AND b.ts > a.ts
WHERE b.ts - a.ts < INTERVAL {PASS_ON_S} SECOND
"""


def setup(data: Data) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    transfers = data.table  # noqa: F841  (DuckDB finds it by its name)
    connection.execute("CREATE TABLE t AS FROM transfers")
    return connection


def run(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    return connection.sql(QUERY).to_arrow_table()
