"""Sync: a thread that keeps a target up to date, and what its user sees of it.

    starting ─▶ running ◀─▶ waiting (the target is away; tried again after 0.1 s, doubled up to `retry_max`)
                   │             │
                   └─▶ failed  closed ◀─┘

The thread opens the target, steps until there is nothing left, and sleeps for `interval`. Every call of the target is
made by this thread. A place of the log that has been reached is told under `_changed`; `wait` and `close` set the goal
that they wait for and wake the thread.

It is a daemon: a process may end at any moment, as by kill -9, and the next one resumes. At the end of the interpreter
the threads are asked to stop between two transactions.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from time import monotonic
from types import TracebackType

from tocsin.errors import ClosedError, StoreError, TocsinError

from .errors import PositionMovedError, SyncTimeoutError, TargetAwayError
from .runner import Runner

logger = logging.getLogger("tocsin")

RETRY_FIRST = 0.1
MOVES_ORDINARY = 4
AGAIN_SECONDS = 0.2  # how often a wait has the log looked at again: events may have become durable
EXIT_SECONDS = 5.0  # how long the end of the interpreter waits for a transaction
CANCEL_SECONDS = 1.0  # how long close waits for a transaction that it has cancelled


class Sync:
    """A target that is kept up to date; made by `start` and `Engine.sync`.

    `close()`, or the end of a with block, brings the target up to date a last time and ends the thread. The next sync
    to the same target goes on where this one ended, however it ended.

    >>> import tempfile, pyarrow as pa, tocsin as tc
    >>> from tocsin.sync import StoreTarget, start
    >>> folder = tempfile.mkdtemp()
    >>> with tc.Store(folder + "/a.store") as store:
    ...     log = store.create_stream("trades", pa.schema([("price", pa.float64())]))
    ...     first = store.append("trades", {"price": [1.0, 2.0]})
    ...     with start(store, "trades", StoreTarget(folder + "/b.store")) as sync:
    ...         sync.wait(timeout=60)
    ...         sync.position, sync.lag, sync.state
    (2, 0, 'running')
    """

    def __init__(self, runner: Runner, *, retry_max: float, linger: float) -> None:
        self._runner = runner
        self._retry_max = retry_max
        self._linger = linger
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._tried = threading.Event()
        self._state = "starting"
        self._error: BaseException | None = None
        self._told = False
        self._reached = False  # the target has been open once
        self._stop_at: float | None = None  # closing: by when, of time.monotonic
        self._goal: int | None = None  # closing: up to where
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="tocsin-sync", daemon=True)
        _live.add(self)
        self._thread.start()

    # -- what its user sees ----------------------------------------------------------------------

    @property
    def position(self) -> int | None:
        """The sequence of the first event that the target does not have; None: the target has not been reached yet."""
        return self._runner.position

    @property
    def lag(self) -> int:
        """How many events of the log the target does not have."""
        position = self._runner.position
        if position is None:
            try:
                position = self._runner.source.oldest()
            except ClosedError:
                position = 0
        return max(0, self._runner.source.next_sequence - position)

    @property
    def state(self) -> str:
        """One of "starting", "running", "waiting" (for a target that is away), "failed" and "closed"."""
        return "closed" if self._pid != os.getpid() else self._state

    @property
    def error(self) -> BaseException | None:
        """Why it is waiting or has failed; None: all is well."""
        return self._error

    def wait(self, timeout: float | None = None) -> None:
        """Return when the target has everything that is in the log now.

        Args:
            timeout: seconds; None: as long as it takes, also for a target that is away.

        Raises:
            SyncError, or whatever else the sync has failed with. SyncTimeoutError: not in the time given; the sync goes
            on. ClosedError: the sync was closed before.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> from tocsin.sync import start
        >>> folder = tempfile.mkdtemp()
        >>> with tc.Store(folder + "/a.store") as store:
        ...     log = store.create_stream("trades", pa.schema([("price", pa.float64())]))
        ...     with start(store, "trades", "parquet:" + folder + "/trades") as sync:
        ...         first = store.append("trades", {"price": [1.0, 2.0]})
        ...         sync.wait(timeout=60)
        ...         sync.lag
        0
        """
        source = self._runner.source
        goal = source.next_sequence
        until = None if timeout is None else monotonic() + timeout
        self._wake.set()
        with self._changed:
            while True:
                # Events whose fsync failed are taken back: the goal must not stay beyond them.
                if (self.position or 0) >= min(goal, source.next_sequence) and self.position is not None:
                    return
                if self.state == "failed" and self._error is not None:
                    self._told = True
                    raise self._error
                if self.state == "closed":
                    raise ClosedError(f"{self._runner} is closed, {self.lag} events behind")
                left = AGAIN_SECONDS if until is None else min(AGAIN_SECONDS, until - monotonic())
                if left <= 0:
                    why = "" if self._error is None else f" ({type(self._error).__name__}: {self._error})"
                    raise SyncTimeoutError(
                        f"{self._runner} is {self.lag} events behind, and {self.state}{why}"
                    )
                if not self._changed.wait(left):
                    self._wake.set()  # not after each news: the thread would never sleep

    def close(self, timeout: float | None = None) -> None:
        """Bring the target up to date a last time, then end; what is missing then comes with the next sync.

        Args:
            timeout: seconds for the last catch-up; None: what `linger` says. 0: end after the transaction under way.

        Raises:
            SyncError, or whatever else the sync has failed with, unless `wait` has raised it. All is closed then.

        >>> import tempfile, pyarrow as pa, tocsin as tc
        >>> from tocsin.sync import start
        >>> folder = tempfile.mkdtemp()
        >>> with tc.Store(folder + "/a.store") as store:
        ...     log = store.create_stream("trades", pa.schema([("price", pa.float64())]))
        ...     sync = start(store, "trades", "parquet:" + folder + "/trades")
        ...     first = store.append("trades", {"price": [1.0, 2.0]})
        ...     sync.close()
        ...     sync.position, sync.state
        (2, 'closed')
        """
        if self._pid != os.getpid():
            return  # the thread lives in the parent
        self._end(self._linger if timeout is None else timeout)
        with self._changed:
            failed, self._told = self._state == "failed" and not self._told, True
        if failed and self._error is not None:
            raise self._error

    def __enter__(self) -> Sync:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as at_close:
            if fault is None:
                raise
            fault.add_note(f"and close() raised {type(at_close).__name__}: {at_close}")

    def __repr__(self) -> str:
        return f"Sync({self._runner.source.shape.label!r} to {self._runner.target}, {self.state}, lag {self.lag})"

    # -- for start -------------------------------------------------------------------------------

    def _first_attempt(self) -> None:
        """Return when the target was reached, or is known to be away; raise what only a person can put right."""
        try:
            self._tried.wait()
        except BaseException:  # Ctrl-C: nobody has the handle
            self._end(0)
            raise
        if not self._reached and self._state == "failed" and self._error is not None:
            self._told = True
            self._thread.join()
            raise self._error  # later ones are for `wait` and `close`: there is somebody who has the handle

    def _end(self, seconds: float) -> None:
        with self._changed:
            if self._stop_at is None:
                self._goal = self._runner.source.next_sequence
                self._stop_at = monotonic() + seconds
            else:
                self._stop_at = min(self._stop_at, monotonic() + seconds)
            until = self._stop_at
        self._wake.set()
        self._thread.join(max(0.0, until - monotonic()) + CANCEL_SECONDS)
        if self._thread.is_alive():
            cancel = getattr(self._runner.target, "cancel", None)
            if cancel is not None:
                cancel()
            self._thread.join(CANCEL_SECONDS)
        if self._thread.is_alive():
            logger.warning("tocsin: %s does not answer; it is left to end by itself", self._runner)
        _live.discard(self)

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        delay, away_since, moves = RETRY_FIRST, None, 0
        try:
            while not self._is_done():
                try:
                    self._runner.open()
                    self._arrived()
                    if away_since is not None:
                        logger.info("tocsin: %s goes on after %.1f s", self._runner, monotonic() - away_since)
                        away_since = None
                    while self._runner.step():
                        delay, moves = RETRY_FIRST, 0
                        self._arrived()
                        if self._is_done():
                            break
                    else:
                        self._arrived()
                        self._sleep(self._runner.pace.interval)
                except PositionMovedError as moved:
                    moves += 1
                    # Another writer is ordinary; a target that never takes anything is not.
                    level = logging.WARNING if moves >= MOVES_ORDINARY else logging.INFO
                    logger.log(level, "tocsin: %s asks for the position again: %s", self._runner, moved)
                    if moves >= MOVES_ORDINARY:
                        self._missed(moved)
                        if self._stop_at is not None:
                            break
                    self._pause(delay)
                    delay = min(2 * delay, self._retry_max)
                except (TargetAwayError, StoreError) as away:
                    away_since = away_since or monotonic()
                    self._missed(away)
                    if self._stop_at is not None:
                        break
                    logger.warning("tocsin: %s: %s; next attempt in %.1f s", self._runner, away, delay)
                    self._pause(delay)
                    delay = min(2 * delay, self._retry_max)
            self._finish("closed")
        except ClosedError:
            self._finish("closed")
        except BaseException as failure:
            expected = isinstance(failure, TocsinError)
            logger.error("tocsin: %s has failed: %s", self._runner, failure, exc_info=not expected)
            self._error = failure
            self._finish("failed")

    def _is_done(self) -> bool:
        if self._stop_at is None:
            return False
        position, goal = self._runner.position, self._goal
        return monotonic() >= self._stop_at or (
            position is not None
            and goal is not None
            and position >= min(goal, self._runner.source.next_sequence)
        )

    def _arrived(self) -> None:
        with self._changed:
            self._state, self._error, self._reached = "running", None, True
            self._tried.set()
            self._changed.notify_all()

    def _missed(self, away: BaseException) -> None:
        try:
            self._runner.close()
        finally:
            with self._changed:
                self._state, self._error = "waiting", away
                self._tried.set()
                self._changed.notify_all()

    def _sleep(self, seconds: float) -> None:
        """Until it is time to look again, or somebody waits."""
        if self._stop_at is not None:
            seconds = min(seconds, max(0.0, self._stop_at - monotonic()), 0.05)
        self._wake.wait(seconds)
        self._wake.clear()

    def _pause(self, seconds: float) -> None:
        """Until it is time to try again; only a close is sooner."""
        until = monotonic() + seconds
        while self._stop_at is None and (left := until - monotonic()) > 0:
            self._sleep(left)

    def _finish(self, state: str) -> None:
        try:
            self._runner.close()
        finally:
            if state == "closed" and self.lag:
                logger.warning(
                    "tocsin: %s ends %d events behind; the next one goes on there", self._runner, self.lag
                )
            with self._changed:
                self._state = state
                self._tried.set()
                self._changed.notify_all()


_live: weakref.WeakSet[Sync] = weakref.WeakSet()


def _at_exit() -> None:
    for sync in list(_live):
        if sync._pid == os.getpid() and sync._thread.is_alive():
            sync._stop_at = monotonic()
            sync._wake.set()
    until = monotonic() + EXIT_SECONDS
    for sync in list(_live):
        if sync._pid == os.getpid():
            sync._thread.join(max(0.0, until - monotonic()))


atexit.register(_at_exit)
