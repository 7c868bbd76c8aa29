"""tocsin: event correlation inside a Python process.

Push numpy or Arrow batches of events; triggers (conditions, SQL row patterns) decide in compiled code, without
the GIL, which events belong together; handlers receive the matches; a store keeps everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.interpreters import check_interpreter

check_interpreter()  # before anything that would crash there

from tocsin.errors import (
    BackpressureError,
    ClosedError,
    EvaluationError,
    LimitError,
    OrderError,
    PatternError,
    QueryError,
    SchemaError,
    StateError,
    StoreError,
    TocsinError,
)
from tocsin.explain import explain
from tocsin.language.expression import col, lit
from tocsin.matcher import Matcher
from tocsin.query import sql
from tocsin.recognize import match_recognize
from tocsin.version import __version__

if TYPE_CHECKING:
    from tocsin.backtesting import backtest
    from tocsin.engine import Engine
    from tocsin.storage import Store

# Loaded when first asked for: a process that only matches tables needs neither threads nor files.
_LATER = {"Engine": "tocsin.engine", "Store": "tocsin.storage", "backtest": "tocsin.backtesting"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value
    raise AttributeError(f"module 'tocsin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER])


__all__ = [
    "BackpressureError",
    "ClosedError",
    "Engine",
    "EvaluationError",
    "LimitError",
    "Matcher",
    "OrderError",
    "PatternError",
    "QueryError",
    "SchemaError",
    "StateError",
    "Store",
    "StoreError",
    "TocsinError",
    "__version__",
    "backtest",
    "col",
    "explain",
    "lit",
    "match_recognize",
    "sql",
]
