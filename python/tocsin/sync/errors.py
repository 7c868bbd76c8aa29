"""What can go wrong between a log and its target, by what is to be done about it.

SyncError            somebody has to decide: another table, a gap, a value the target cannot hold. The sync stops.
TargetAwayError      time may help: no connection, a full disk, a table that another sync holds. It is tried again.
PositionMovedError   the target is at another position than was thought (a commit whose answer was lost, another
                     writer). It is asked again, and the sync goes on from there.
"""

from __future__ import annotations

from tocsin.errors import TocsinError


class SyncError(TocsinError):
    """A sync cannot go on by itself; the message says why, and what to do. Nothing of the transaction was written."""


class SyncTimeoutError(SyncError, TimeoutError):
    """The target was not up to date in the time given; the sync goes on."""


class TargetAwayError(TocsinError):
    """The target cannot be reached, or cannot write now. It is tried again."""


class PositionMovedError(TocsinError):
    """The target is not where the sync left it. It is asked again."""
