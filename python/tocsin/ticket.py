"""Ticket: what a push gives back, and how results find their way to it.

A ticket is a range of sequences: the events that the push sent on to the triggers. A match belongs to the push whose
event settled it, so a batch of matches carries the range of events it came from (shard.pyx: first, last), and what a
handler returns for that batch goes to the tickets whose ranges meet it. For a trigger upon a trigger the range is that
of the events below (`Outlet.origin`).

    push ──▶ TicketBook.open(ticket) ──▶ ring ──▶ worker ──▶ handler ──▶ TicketBook.give(range, value) ──▶ ticket

The book of a stream knows its tickets weakly: a dropped ticket costs nothing. It is only used once a handler of the
engine keeps results; else a push makes a ticket of three fields and that is all (0.2 us).
"""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_right
from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .stream import Stream

OPEN = 2**63 - 1  # `last` of a push that is under way


class Ticket:
    """What `Stream.push` gives back: it stands for the events of that push.

    Attributes:
        first, last: int, the sequences of the events that the push sent on to the triggers. With a lateness these are
            the events that it made certain, be they its own or of pushes before; last is first - 1 if there are none
            (all late, or all still waiting for the watermark).

    A ticket that nobody keeps costs nothing further.

    >>> import pyarrow as pa, tocsin as tc
    >>> with tc.Engine() as engine:
    ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
    ...     large = engine.trigger("large", trades, tc.col("price") > 3)
    ...     count = large.handler(lambda matches: matches.num_rows, results=True)
    ...     ticket = trades.push({"price": [2.5, 4.0, 5.0]})
    ...     ticket, ticket.results()
    (Ticket(events 0 to 2 of 'trades'), [2])
    """

    __slots__ = ("__weakref__", "_kept", "_settled", "_stream", "first", "last")
    _kept: list[tuple[tuple[int, int, int], Any]]
    _settled: bool

    def __init__(self, stream: Stream, first: int, last: int) -> None:
        self._stream = stream
        self.first = first
        self.last = last

    def results(self, timeout: float | None = None) -> list[Any]:
        """What handlers with results=True returned for the matches that this push settled; waits until they have.

        It waits until all that the push brought has been matched and handled, on every thread and loop; not for what
        handlers have pushed meanwhile. A match belongs to the push whose event settled it, so one that began with
        earlier events is here, and one that only began is not. When handlers saw several pushes in one batch of
        matches, what they returned is with each of those. What only a watermark (`engine.advance`) or the end of input
        settles belongs to no push, and events that wait for the watermark to the push that moves it.

        Args:
            timeout: seconds to wait; None: as long as it takes.

        Returns:
            A list with one value per call that did not fail: by batch of matches, then by handler in order of
            registration, then by match. Only handlers that were registered before the push. Asking again gives the
            same; `Trigger.results` gives these values too.

        Raises:
            TimeoutError: after `timeout` seconds; it can be asked again.
            TocsinError: called by a handler, which it would wait for, or on the event loop of one.
            ClosedError: in a forked child.

        >>> import pyarrow as pa, tocsin as tc
        >>> with tc.Engine(workers=0) as engine:
        ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
        ...     large = engine.trigger("large", trades, tc.col("price") > 3)
        ...     show = large.handler(lambda match: match["price"], per_match=True, results=True)
        ...     tickets = [trades.push({"price": [2.5, 4.0]}), trades.push({"price": 1.0})]
        ...     [ticket.results() for ticket in tickets]
        [[4.0], []]
        """
        if not getattr(self, "_settled", False):
            self._stream._runtime.settle(timeout)
            self._settled = True
        kept = list(getattr(self, "_kept", ()))
        return [value for _, value in sorted(kept, key=itemgetter(0))]

    def __repr__(self) -> str:
        if self.last < self.first:
            return f"Ticket(no event of {self._stream.name!r} yet)"
        events = f"event {self.first}" if self.last == self.first else f"events {self.first} to {self.last}"
        return f"Ticket({events} of {self._stream.name!r})"


class TicketBook:
    """The tickets of one stream that somebody holds. `open` and `close` are called under the stream's lock."""

    def __init__(self) -> None:
        # Re-entrant: the end of a ticket may run code of the user's, inside one of these methods.
        self._lock = threading.RLock()
        self._firsts: list[int] = []  # ascending, for bisect; the ranges do not meet
        self._tickets: list[weakref.ref[Ticket]] = []
        self._full = 64  # so many entries, and those of dropped tickets leave
        self._advances: deque[int] = deque()

    def __len__(self) -> int:
        return sum(1 for ticket in self._tickets if ticket() is not None)

    def open(self, ticket: Ticket) -> None:
        """The push of `ticket` begins (its `last` is OPEN): all results from `first` on are its, until `close`."""
        ticket._kept = []
        with self._lock:
            if len(self._firsts) >= self._full:
                alive = [
                    (first, ref)
                    for first, ref in zip(self._firsts, self._tickets, strict=True)
                    if ref() is not None
                ]
                self._firsts = [first for first, _ in alive]
                self._tickets = [ref for _, ref in alive]
                self._full = 2 * len(alive) + 64
            self._firsts.append(ticket.first)
            self._tickets.append(weakref.ref(ticket))

    def close(self, ticket: Ticket, last: int) -> None:
        """The push has ended with the event `last`."""
        with self._lock:
            ticket.last = last
            if last < ticket.first:  # no event: the next ticket begins at the same place
                self._firsts.pop()
                self._tickets.pop()

    def give(self, origin: tuple[int, int], key: tuple[int, int, int], value: Any) -> None:
        """`value` was returned for matches from the events of `origin`; `key` is its place among the results."""
        first, last = origin
        with self._lock:
            at = max(0, bisect_right(self._firsts, first) - 1)
            while at < len(self._firsts) and self._firsts[at] <= last:
                ticket = self._tickets[at]()
                if ticket is not None and ticket.last >= first:
                    ticket._kept.append((key, value))
                at += 1

    # ------------------------------------------------------------------ the watermark moves without an event

    def advancing(self, sequence: int) -> None:
        """The watermark moves before event `sequence` comes: matches "of" that event are not its, until `advanced`."""
        self._advances.append(sequence)

    def advanced(self) -> None:
        """All that the oldest `advancing` led to has come out."""
        self._advances.popleft()

    def origin(self, first: int, last: int) -> tuple[int, int] | None:
        """The events of this stream from which matches of its events `first` to `last` came, None: from no event."""
        return None if first < 0 or first in self._advances else (first, last)
