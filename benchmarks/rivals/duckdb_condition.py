"""DuckDB: WHERE over a table of its own, Arrow out, one thread."""

import duckdb
import pyarrow as pa

from benchmarks.data import PRICE_ABOVE, SIZE_BELOW, Data

NAME = "DuckDB"
REQUIRES = ("duckdb",)
DATA = "orders"


def setup(data: Data) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    orders = data.table  # noqa: F841  (DuckDB finds it by its name)
    connection.execute("CREATE TABLE t AS FROM orders")
    return connection


def run(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    return connection.sql(
        f"SELECT * FROM t WHERE price > {PRICE_ABOVE} AND size < {SIZE_BELOW}"
    ).to_arrow_table()
