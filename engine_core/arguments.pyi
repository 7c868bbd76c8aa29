from .expression import Program

class ArgumentGroup:
    program: Program
    variables: int
    next: ArgumentGroup | None
    def __init__(
        self,
        variables: int,
        program: Program,
        sources: list[int],
        layouts: list[tuple[int, int]],
        n_columns: int,
        next: ArgumentGroup | None,
    ) -> None: ...
