"""One transaction after the other from a source to a target. No thread, no clock: handle.py has those.

    open   the target says where it is; is that a place of this source?
    step   the next piece of the log into the target; nothing when it has all that is durable

What is known of the position is what the target said last. Any error may come at any place: the next `open` asks
again, and no step begins before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal

from .errors import SyncError
from .source import GapError, Source
from .target import Pace, Piece, Target

logger = logging.getLogger("tocsin")

Gaps = Literal["raise", "skip"]


class Runner:
    """See the module. `position` is where the target is as far as is known; None before the first `open`."""

    def __init__(self, source: Source, target: Target, pace: Pace, gaps: Gaps) -> None:
        self.source = source
        self.target = target
        self.pace = pace
        self.position: int | None = None
        self._gaps = gaps
        self._is_open = False
        self._pieces: Iterator[Piece] | None = None

    def open(self) -> None:
        """Ask the target where it is. Does nothing when it is open.

        Raises:
            SyncError, TargetAwayError: the target's; SyncError: it is ahead of the source, or has other events.
        """
        if self._is_open:
            return
        shape = self.source.shape
        found = self.target.open(shape)
        if found is None:
            self.position = self.source.oldest()
            if self.position:
                logger.info("tocsin: %s begins with event %d", self, self.position)
        else:
            self._check(found.next, found.mark)
            self.position = found.next
        self._is_open = True

    def step(self) -> bool:
        """Bring the next piece into the target; False: it has everything that is durable.

        Raises:
            GapError: the source does not have what comes next, and may not leave it out. What the target raises.
        """
        try:
            return self._step()
        except BaseException:
            self._pieces = None
            raise

    def close(self) -> None:
        """Let the target go; `open` begins anew."""
        self._is_open = False
        self._pieces = None
        self.target.close()

    def __str__(self) -> str:
        return f"the sync of {self.source.shape.label} to {self.target}"

    def _step(self) -> bool:
        if self.position is None or not self._is_open:
            raise SyncError(f"{self}: not open")
        while True:
            if self._pieces is None:
                after = self.source.durable()
                if self.position >= after:
                    return False
                self._pieces = self.source.pieces(self.position, after, self.pace)
            try:
                piece = next(self._pieces, None)
            except GapError as gap:
                self._pieces = None
                if self._gaps == "raise":
                    raise
                on = self.source.behind(self.position)
                logger.warning(
                    "tocsin: %s leaves out events %d to %d, which the source cannot give: %s",
                    self, self.position, on - 1, gap,
                )  # fmt: skip
                self.position = on
                continue
            if piece is not None:
                break
            self._pieces = None  # look again: more may have come meanwhile
        try:
            self.target.write(piece)
        except BaseException:
            self.close()  # it may have written: only the target knows
            raise
        self.position = piece.after
        return True

    def _check(self, position: int, mark: int | None) -> None:
        label, end = self.source.shape.label, self.source.next_sequence
        if position > end:
            raise SyncError(
                f"{self}: the target has events up to {position - 1}, the source only up to {end - 1}: it is not the "
                f"store that the target was filled from, or an older copy of it. Nothing was written; sync {label} "
                "to a new target"
            )
        if mark is None or not position:
            return
        known = self.source.mark_before(position)
        if known is not None and known != mark:
            raise SyncError(
                f"{self}: event {position - 1} in the source is not the one that the target got under that number: the "
                f"store was made anew, or brought back from a copy. Nothing was written; sync {label} to a new target"
            )
