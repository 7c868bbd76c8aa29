"""pandas-match-recognize: A … B … C. It knows no WITHIN, so the answer is that of the clause without it."""

import pandas as pd
from pandas_match_recognize import match_recognize

from benchmarks.data import Data

NAME = "pandas-match-recognize"
REQUIRES = ("pandas_match_recognize",)
DATA = "sequence"

QUERY = """
SELECT * FROM df MATCH_RECOGNIZE (
    PARTITION BY key ORDER BY ts
    MEASURES FIRST(A.ts) AS start_ts, LAST(C.ts) AS end_ts
    ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW
    PATTERN (A X*? B Y*? C)
    DEFINE A AS kind = 0, B AS kind = 1, C AS kind = 2)
"""


def setup(data: Data) -> pd.DataFrame:
    return pd.DataFrame(data.columns)


def run(df: pd.DataFrame) -> pd.DataFrame:
    return match_recognize(QUERY, df)
