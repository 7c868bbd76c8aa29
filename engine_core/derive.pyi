from collections.abc import Callable
from typing import Any

from .operator import Operator
from .schema import Schema

class Derive(Operator):
    inner: Operator
    def __init__(
        self,
        inner: Operator,
        input: Schema,
        output: Schema,
        before: Callable[[Any], Any] | None,
        after: Callable[[Any], Any] | None = None,
    ) -> None: ...
