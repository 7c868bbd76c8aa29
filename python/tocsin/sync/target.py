"""What a target is: the place where a sync keeps the events of a log, or the matches of a trigger.

The one promise that makes a sync exactly once: `write` puts the rows and the position behind them into the target
together, or neither. Whatever happens in between (an exception, kill -9, a lost connection), the target itself says
with `open` where it is, and the runner goes on from there; it keeps no position of its own.

A target is used by one thread at a time. Errors are told apart by their class, see errors.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import pyarrow as pa


class Position(NamedTuple):
    """How far a target is.

    Attributes:
        next: the sequence of the first event that it does not have.
        mark: of the event before that (mark.py); None: not known.
    """

    next: int
    mark: int | None


@dataclass(frozen=True, slots=True)
class Shape:
    """What a sync brings.

    Attributes:
        kind: "streams" or "matches".
        name: of the stream or trigger.
        schema: of the rows that `write` is given: the columns of the log, then `sequence_column`, an int64 without
            nulls.
        time: the time column, or None.
        sequence_column: the last column's name.
    """

    kind: str
    name: str
    schema: pa.Schema
    time: str | None
    sequence_column: str

    @property
    def label(self) -> str:
        """By which a target remembers whose rows it has: "streams/trades"."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How much goes into one transaction, and how often.

    Attributes:
        rows: at most so many rows.
        bytes: about so many bytes at most; a single row may be larger.
        interval: seconds between two looks at the log, once the target has all that is in it.
    """

    rows: int = 65_536
    bytes: int = 16 << 20
    interval: float = 0.1


class Piece(NamedTuple):
    """The rows of one transaction: the events `first` <= sequence < `after`, the mark of the last one."""

    first: int
    after: int
    rows: pa.Table
    mark: int


@runtime_checkable
class Target(Protocol):
    """What keeps the rows. Your own class needs these methods and `pace`; see the module for the promise.

    Attributes:
        pace: what suits this kind of target.
    """

    pace: Pace

    def open(self, shape: Shape) -> Position | None:
        """Connect, make what is missing, check what is there; called again after `close`, for a new attempt.

        Returns:
            How far the target is; None: it has nothing yet.

        Raises:
            SyncError: it cannot take this shape, or is somebody else's; the message names the column. Nothing was
            changed. TargetAwayError: it cannot be reached.
        """

    def write(self, piece: Piece) -> None:
        """Write the rows and the position `piece.after` with its mark: both, or neither.

        `piece.first` is the position, or lies behind it where the source has lost events and was told to go on.

        Raises:
            SyncError, TargetAwayError, PositionMovedError: as errors.py says.
        """

    def close(self) -> None:
        """Let everything go; never raises. `open` may be called again."""
