from collections.abc import Iterable, Mapping
from typing import Any

from .batch import Batch
from .schema import Schema

def datetime_ns(value: Any) -> int | None: ...
def timedelta_ns(value: Any) -> int | None: ...

class RowBuilder:
    schema: Schema
    supports: bool
    def __init__(self, schema: Schema) -> None: ...
    def build(self, rows: Iterable[Mapping[str, Any]]) -> Batch: ...
