from typing import Any

from .batch import Batch
from .schema import Schema

class RowReader:
    schema: Schema
    supports: bool
    def __init__(self, schema: Schema) -> None: ...
    def read(self, batch: Batch) -> list[dict[str, Any]]: ...
