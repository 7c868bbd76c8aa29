"""pandas-match-recognize: a payment, and the very next one is of more than twice as much."""

import pandas as pd
from pandas_match_recognize import match_recognize

from benchmarks.data import Data

NAME = "pandas-match-recognize"
REQUIRES = ("pandas_match_recognize",)
DATA = "transfers"

QUERY = """
SELECT * FROM df MATCH_RECOGNIZE (
    ORDER BY ts
    MEASURES A.ts AS start_ts, B.ts AS end_ts
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (A B)
    DEFINE B AS amount > 2 * A.amount)
"""


def setup(data: Data) -> pd.DataFrame:
    return pd.DataFrame(data.columns)


def run(df: pd.DataFrame) -> pd.DataFrame:
    return match_recognize(QUERY, df)
