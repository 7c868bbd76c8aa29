from .conditions import Conditions
from .operator import Operator
from .schema import Schema

class RowFilter(Operator):
    def __init__(self, schema: Schema, conditions: Conditions) -> None: ...
