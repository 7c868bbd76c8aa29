from .expression import Program

class Output:
    n_leaves: int
    def __init__(
        self,
        program: Program,
        leaf_of_input: list[int],
        leaves: list[tuple[int, int]],
        columns: list[tuple[int, int, int, int]],
        match_leaf: int = -1,
    ) -> None: ...
