from .operator import Operator
from .row_condition import RowCondition
from .schema import Schema

class RowFilter(Operator):
    def __init__(
        self, schema: Schema, condition: RowCondition, output: Schema | None = None, *, placed: bool = False
    ) -> None: ...
