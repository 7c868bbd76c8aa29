"""The threads that work for logs: behind durability="interval", and behind retention.

It sleeps until a log turns dirty, waits one interval so that appends gather, and syncs what is dirty by then:
a store at rest costs nothing, and an event is on the device one interval and one fsync after it was accepted.
Failures stay with their log, which tells its next caller. Started by the first append, daemon, joined by
`stop`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .log import Log


class Flusher:
    """Does `work` for the logs that woke it, `interval` seconds later: with the default, it syncs what is dirty."""

    def __init__(
        self,
        interval: float,
        work: Callable[[Log], None] = Log.sync_in_background,
        name: str = "tocsin-store-sync",
    ) -> None:
        self._interval, self._work, self._name = interval, work, name
        self._dirty: set[Log] = set()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self, log: Log) -> None:
        """Work for this log one interval from now."""
        with self._changed:
            self._dirty.add(log)
            if self._thread is None:  # no thread for a store that is only opened and read
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Return when the thread has ended; closing the logs syncs what is left."""
        self._stopped.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._dirty or self._stopped.is_set())
            self._stopped.wait(self._interval)  # let appends gather
            with self._changed:
                logs, self._dirty = self._dirty, set()
            for log in logs:
                self._work(log)
