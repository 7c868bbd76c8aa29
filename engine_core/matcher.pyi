from typing import Any

from .row_pattern import RowPattern

LEAVES: dict[str, int]

class PatternMatcher(RowPattern):
    skips: bool
    def __init__(self, plan: dict[str, Any]) -> None: ...
    @property
    def states(self) -> int: ...
