"""The exceptions of tocsin. They are defined in the compiled core, so that a kernel can raise them too."""

from tocsin_core.status import (
    BackpressureError,
    ClosedError,
    EvaluationError,
    LimitError,
    OrderError,
    PatternError,
    SchemaError,
    StateError,
    StoreError,
    TocsinError,
)

__all__ = [
    "BackpressureError",
    "ClosedError",
    "EvaluationError",
    "LimitError",
    "OrderError",
    "PatternError",
    "SchemaError",
    "StateError",
    "StoreError",
    "TocsinError",
]
