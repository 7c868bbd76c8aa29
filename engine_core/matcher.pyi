from typing import Any

from .operator import Operator

LEAVES: dict[str, int]

class PatternMatcher(Operator):
    skips: bool
    def __init__(self, plan: dict[str, Any]) -> None: ...
    @property
    def partitions(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def open_attempts(self) -> int: ...
    @property
    def states(self) -> int: ...
