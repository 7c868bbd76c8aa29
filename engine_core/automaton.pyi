class Automaton:
    def __init__(
        self,
        positions: tuple[int, ...],
        conditions: tuple[int, ...],
        first: tuple[int, ...],
        follow: tuple[tuple[int, ...], ...],
        n_conditions: int,
    ) -> None: ...
