from .batch import Batch
from .expression import Program
from .schema import Schema

class Projection:
    output: Schema
    def __init__(self, program: Program, sources: list[int], output: Schema) -> None: ...
    def run(self, batch: Batch) -> tuple[Batch, Exception | None]: ...
