from collections.abc import Iterable

from .operator import Operator

CHAIN_MAX: int

class Node:
    operator: Operator
    source: int
    def __init__(self, id: int, source: int, operator: Operator, *, timed: bool = False) -> None: ...
    @property
    def id(self) -> int: ...

class Routes:
    def __init__(self, n_sources: int, nodes: Iterable[Node]) -> None: ...
