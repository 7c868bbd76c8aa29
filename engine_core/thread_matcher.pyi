from typing import Any

from .row_pattern import RowPattern

SKIPS: dict[str, int]
SEEKS: dict[str, int]

class ThreadMatcher(RowPattern):
    def __init__(self, plan: dict[str, Any]) -> None: ...
    @property
    def kept_rows(self) -> int: ...
