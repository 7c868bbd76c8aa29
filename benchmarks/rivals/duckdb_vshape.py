"""DuckDB: STRT DOWN{2,} UP{2,} as gaps and islands over LAG, one thread. Exactly the SQL answer.

DuckDB 2.0.0 has no MATCH_RECOGNIZE (its parser refuses the clause), so this is the rewrite one does by
hand; the reasoning about chains is told in `polars_vshape`.
"""

import duckdb
import pyarrow as pa

from benchmarks.data import Data

NAME = "DuckDB, LAG and islands by hand"
REQUIRES = ("duckdb",)
DATA = "vshape"

QUERY = """
WITH signed AS (
    SELECT key, ts, price, lag(price) OVER w AS prev, lag(ts) OVER w AS prev_ts,
           coalesce(sign(price - lag(price) OVER w), 0) AS sign
    FROM t WINDOW w AS (PARTITION BY key ORDER BY ts)),
flagged AS (
    SELECT *, sign IS DISTINCT FROM lag(sign) OVER (PARTITION BY key ORDER BY ts) AS head FROM signed),
numbered AS (
    SELECT *, count_if(head) OVER (PARTITION BY key ORDER BY ts ROWS UNBOUNDED PRECEDING) AS run
    FROM flagged),
islands AS (
    SELECT key, run, any_value(sign) AS sign, count(*) AS n, arg_min(prev, ts) AS before,
           min(prev_ts) AS before_ts, arg_min(price, ts) AS head, min(ts) AS head_ts,
           arg_max(price, ts) AS tail, max(ts) AS tail_ts
    FROM numbered GROUP BY key, run),
paired AS (
    SELECT *, lead(tail) OVER w AS high, lead(tail_ts) OVER w AS end_ts, lag(sign) OVER w AS sign_before,
           coalesce(sign < 0 AND n >= 2 AND lead(sign) OVER w > 0 AND lead(n) OVER w >= 2, false) AS cand
    FROM islands WINDOW w AS (PARTITION BY key ORDER BY run)),
linked AS (
    SELECT *, coalesce(sign_before > 0 AND lag(cand, 2) OVER (PARTITION BY key ORDER BY run), false) AS linked
    FROM paired QUALIFY cand),
chained AS (
    SELECT *, count_if(n >= 3 OR NOT linked) OVER
           (PARTITION BY key ORDER BY run ROWS UNBOUNDED PRECEDING) AS chain FROM linked),
placed AS (
    SELECT *, row_number() OVER (PARTITION BY key, chain ORDER BY run) % 2 = 1 AS free FROM chained),
freed AS (
    SELECT *, linked AND coalesce(lag(free) OVER (PARTITION BY key ORDER BY run), false) AS taken FROM placed)
SELECT key, CASE WHEN taken THEN head ELSE before END AS start_price, tail AS low, high,
       CASE WHEN taken THEN head_ts ELSE before_ts END AS start_ts, end_ts
FROM freed WHERE free
"""


def setup(data: Data) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    walks = data.table  # noqa: F841  (DuckDB finds it by its name)
    connection.execute("CREATE TABLE t AS FROM walks")
    return connection


def run(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    return connection.sql(QUERY).to_arrow_table()
