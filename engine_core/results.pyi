from typing import Any

from .arguments import ArgumentGroup
from .output import Output

KINDS: dict[str, int]
SOURCES: dict[str, int]

class Results:
    output: Output
    groups: ArgumentGroup | None
    columns: list[int]
    recorded: int
    every: bool
    back: int
    ahead: int
    all_rows: bool
    def __init__(self, parts: dict[str, Any]) -> None: ...
