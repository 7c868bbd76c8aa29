"""Interpreters: tocsin runs in the main interpreter of a process, and says so in any other.

numpy and pyarrow refuse sub-interpreters, or crash in some, and the compiled core keeps what belongs to one
interpreter in module variables. `tocsin` looks here before it imports anything else. Threads are the better way: the
core runs without the GIL.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def check_interpreter() -> None:
    """Raises ImportError in a sub-interpreter (`concurrent.interpreters`, `InterpreterPoolExecutor`, mod_wsgi).

    >>> check_interpreter()
    """
    for name in ("_interpreters", "_xxsubinterpreters"):  # Python 3.13; before
        try:
            interpreters: Any = import_module(name)
        except ImportError:
            continue
        if _number(interpreters.get_current()) != _number(interpreters.get_main()):
            raise ImportError(
                "tocsin cannot be imported in a sub-interpreter, since numpy and pyarrow cannot: import it in the main "
                "interpreter, and use threads (the matching runs without the GIL) or processes"
            )
        return


def _number(interpreter: Any) -> int:
    return int(interpreter[0] if isinstance(interpreter, tuple) else interpreter)
