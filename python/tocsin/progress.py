"""A progress bar for the command line: one line on standard error if that is a terminal, nothing in a pipe.

It redraws at most ten times a second, so that calling `update` for every batch costs a clock reading.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from types import TracebackType
from typing import Self, TextIO

_REDRAW_SECONDS = 0.1


class Progress:
    """Shows how far a job is, on a terminal only.

    Parameters
    ----------
    label : str
        What is being done.
    total : int, optional
        The value of `done` at the end; without it, the bar shows counts and no percentage.
    unit : str
        What `update` counts, for the rate: "events".
    file : text file, optional
        Standard error if not given.

    Examples
    --------
    >>> with Progress("pushing", total=3) as progress:
    ...     for _ in range(3):
    ...         progress.update(1)
    >>> progress.done
    3
    """

    def __init__(
        self, label: str, *, total: int | None = None, unit: str = "events", file: TextIO | None = None
    ) -> None:
        self._file = file or sys.stderr
        self._label, self._total, self._unit = label, total, unit
        self._visible = self._file.isatty() and os.environ.get("TERM") != "dumb"
        self._started = time.monotonic()
        self._drawn = 0.0
        self.done = 0

    def update(self, count: int, *, fraction: float | None = None) -> None:
        """Adds `count` units; `fraction` (0 to 1) overrides what done / total says."""
        self.done += count
        now = time.monotonic()
        if self._visible and now - self._drawn >= _REDRAW_SECONDS:
            self._drawn = now
            if fraction is None and self._total:
                fraction = self.done / self._total
            self._file.write("\r\x1b[K" + self._line(now, fraction))
            self._file.flush()

    def _line(self, now: float, fraction: float | None) -> str:
        rate = self.done / max(now - self._started, 1e-9)
        tail = f" {self.done:,} {self._unit}, {rate:,.0f}/s"
        head = f"{self._label} "
        columns = shutil.get_terminal_size().columns
        if fraction is None:
            return (head + tail)[: columns - 1]
        fraction = min(max(fraction, 0.0), 1.0)
        width = max(min(40, columns - len(head) - len(tail) - 9), 5)
        filled = int(width * fraction)
        return f"{head}[{'#' * filled}{'.' * (width - filled)}] {fraction:4.0%}{tail}"[: columns - 1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            self._file.write("\r\x1b[K")
            self._file.flush()
