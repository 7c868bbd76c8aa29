from .schema import Schema

class Operator:
    input: Schema
    output: Schema
    def save(self) -> bytes: ...
    def restore(self, state: bytes) -> None: ...
