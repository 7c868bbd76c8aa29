"""pandas-match-recognize: STRT DOWN{2,} UP{2,} with PREV."""

import pandas as pd
from pandas_match_recognize import match_recognize

from benchmarks.data import Data

NAME = "pandas-match-recognize"
REQUIRES = ("pandas_match_recognize",)
DATA = "vshape"

QUERY = """
SELECT * FROM df MATCH_RECOGNIZE (
    PARTITION BY key ORDER BY ts
    MEASURES STRT.price AS start_price, LAST(DOWN.price) AS low, LAST(UP.price) AS high,
             STRT.ts AS start_ts, LAST(UP.ts) AS end_ts
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (STRT DOWN{2,} UP{2,})
    DEFINE DOWN AS price < PREV(price), UP AS price > PREV(price))
"""


def setup(data: Data) -> pd.DataFrame:
    return pd.DataFrame(data.columns)


def run(df: pd.DataFrame) -> pd.DataFrame:
    return match_recognize(QUERY, df)
