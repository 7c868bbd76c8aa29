from collections import deque

from .batch import Batch
from .intake import Intake
from .operator import Operator
from .ring import Ring
from .schema import Schema
from .topology import Routes

DATA: int
FINISH: int
CONTROL: int
BARRIER: int
FAULT: int
CUT: int
TAKE_MAX: int

_Outgoing = tuple[int, int, Batch | None, int, int, tuple[int, Exception] | None, int, int]

class Cut:
    states: dict[tuple[int, int], bytes]
    emitted: dict[int, int]
    failure: BaseException | None
    filled: bool
    def of(self, id: int) -> list[bytes]: ...

class Shard:
    inbox: Ring
    outbox: Ring | None
    def __init__(self, inbox: Ring, outbox: Ring | None = None, workers: int = 1) -> None: ...
    @property
    def lost(self) -> int: ...
    def know(
        self,
        id: int,
        operator: Operator | None,
        source: Intake | Operator | None = None,
        output: Schema | None = None,
    ) -> None: ...
    def run(self, worker: int = 0) -> None: ...
    def drain(self, into: deque[_Outgoing] | None = None) -> int: ...
    def take(
        self, *, timeout: float | None = 0.0, into: deque[_Outgoing] | None = None
    ) -> list[_Outgoing] | None: ...
    def post(
        self, sequence: int, kind: int, *, id: int = 0, time: int = ..., base: int = 0, ticket: int = 0
    ) -> None: ...
    def barrier(self, ticket: int) -> None: ...
    def cut(self, sequence: int, cut: Cut, ticket: int) -> None: ...
    def switch(self, sequence: int, routes: Routes, ticket: int) -> None: ...

def export_array(batch: Batch, address: int) -> None: ...
def export_placed(batch: Batch, version: int, address: int) -> None: ...
