from collections.abc import Iterable, Sequence

from .operator import Operator

CHAIN_MAX: int

class Node:
    operator: Operator
    operators: tuple[Operator, ...]
    source: int
    def __init__(
        self,
        id: int,
        source: int,
        operator: Operator | Sequence[Operator],
        *,
        timed: bool = False,
        owner: int = 0,
        ordered: bool = True,
        emitted: int = 0,
        placed: bool = False,
    ) -> None: ...
    @property
    def id(self) -> int: ...
    @property
    def owner(self) -> int: ...

class Routes:
    def __init__(self, n_sources: int, nodes: Iterable[Node]) -> None: ...
