"""The exceptions of tocsin. All but QueryError are defined in the compiled core: a kernel can raise them too."""

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


class QueryError(TocsinError, ValueError):
    """A query that cannot be read or run around its MATCH_RECOGNIZE clauses; the message shows the place if it can.

    Example:
        >>> issubclass(QueryError, ValueError)
        True
    """


__all__ = [
    "BackpressureError",
    "ClosedError",
    "EvaluationError",
    "LimitError",
    "OrderError",
    "PatternError",
    "QueryError",
    "SchemaError",
    "StateError",
    "StoreError",
    "TocsinError",
]
