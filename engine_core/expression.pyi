OPS: dict[str, int]
COMPARISONS: dict[str, int]
ARITHMETIC: dict[str, int]
MATH: dict[str, int]
MATH2: dict[str, int]
LISTS: dict[str, int]
CASTS: dict[str | None, int]
TYPES: dict[str, int]

class Program:
    n_instructions: int
    n_registers: int
    n_inputs: int
    n_results: int
    can_fault: bool
    def __init__(
        self,
        instructions: list[tuple[int, int, int, int, int, int]],
        registers: list[int],
        inputs: list[int],
        constants: list[tuple[int, object]],
        sets: list[tuple[int, list[object], bool]],
        results: list[int],
    ) -> None: ...
