from collections.abc import Sequence

from .operator import Operator

def split_state(state: bytes) -> list[bytes]: ...

class Shares(Operator):
    def __init__(self, operators: Sequence[Operator]) -> None: ...
