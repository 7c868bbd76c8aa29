from typing import Any

SOURCES: dict[str, int]
CAPTURES: dict[str, int]
LABEL: int
NUMBER: int
LIST: int

class Definitions:
    n_rests: int
    n_keys: int
    n_captures: int
    n_words: int
    n_operands: int
    back: int
    ahead: int
    traced: bool
    def __init__(
        self,
        rests: list[Any],
        keys: list[Any],
        captures: list[tuple[int, int, int, int, int, int]],
        operands: list[tuple[int, int, int]],
        operand_program: Any,
        names: list[bytes],
        columns: list[int],
        traced: bool,
    ) -> None: ...
