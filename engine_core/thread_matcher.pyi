from typing import Any

from tocsin_core.operator import Operator

SKIPS: dict[str, int]
SEEKS: dict[str, int]

class ThreadMatcher(Operator):
    def __init__(self, plan: dict[str, Any]) -> None: ...
    @property
    def partitions(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def open_attempts(self) -> int: ...
    @property
    def kept_rows(self) -> int: ...
