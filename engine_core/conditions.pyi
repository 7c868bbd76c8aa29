from .expression import Program

class Conditions:
    count: int
    lagged: bool
    can_fault: bool
    def __init__(
        self,
        program: Program,
        sources: list[tuple[int, int]],
        lags: list[tuple[int, int, int]],
        lag_outputs: list[tuple[int, int]],
    ) -> None: ...
