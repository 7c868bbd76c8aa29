"""Recovery: what an engine on a store knows again when a later process opens it, and how it is kept.

    opened ──▶ streams, triggers, handlers are declared ──▶ first push to a stream: it *goes live*:

        checkpoint            log of the stream                                             the push
        state of triggers     |─ events since, once more through the ring ───────────────▶| and all that follow
        matches found  ──────▶| those that the match log has are passed over,             |
                              | those that it has not are logged and handled              |
        handled        ──────▶ those that are logged and not handled are handled (again)

A trigger is known by its name. One that has another definition, or of which the store knows nothing, begins with the
next event; so does one that cannot be resumed, and the report says why (`Recovered`). One that nobody declares sleeps:
its state is carried on from checkpoint to checkpoint, and when it is declared again it takes up where it was, if the
events since are still there.

A checkpoint (storage/checkpoints.py) is a cut through the ring: all streams are held for the moment in which a slot
is put in; each worker writes the state of its operators when it comes to that slot; when it comes out, everything found
before it is in the match logs. Then these and the events are made durable, and the checkpoint is written. A new trigger
is written down at once, with the state of the stream at which it begins.

Locks: `_lock` while something is resumed, joins or is written; `_taking` for one checkpoint at a time. The dispatcher
may want the first (a handler that adds a trigger), so nobody waits for the dispatcher while holding it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tocsin_core.operator import Operator
from tocsin_core.shard import Cut
from tocsin_core.status import ClosedError, StateError, TocsinError

from .catchup import CatchUp, know
from .errors import StoreError
from .inflow import Inflow, Place
from .outlet import Outlet
from .runtime import Runtime
from .storage import Store
from .storage.checkpoints import Checkpoint, Entry

logger = logging.getLogger("tocsin")


@dataclass(slots=True)
class Recovered:
    """What an engine took up from its store.

    Attributes:
        checkpoint: the number of the checkpoint that was found; 0: there was none.
        events: {stream: events since that checkpoint, which its triggers have seen again}.
        resumed: {trigger: matches it had found before}.
        handed_over: {trigger: matches of earlier runs that went to handlers again, since nobody knew them handled}.
        afresh: {trigger: why it could not be resumed}; new ones are not in it.
        notes: what else there was: a damaged checkpoint, a mark that was lost.
        seconds: how long it took to put all of it into the ring.
    """

    checkpoint: int = 0
    events: dict[str, int] = field(default_factory=dict)
    resumed: dict[str, int] = field(default_factory=dict)
    handed_over: dict[str, int] = field(default_factory=dict)
    afresh: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Known:
    """What a trigger can be resumed with. alone: it sees what it missed by itself, in the background (catchup.py)."""

    cut: int
    emitted: int
    version: int
    states: list[bytes]
    start: tuple[dict[str, Any], Any]  # as Inflow.snapshot gave it
    alone: bool

    @property
    def place(self) -> Place:
        """Up to where it has seen its stream."""
        return Place(self.start[0]["stored"], self.start[0]["marks"])


class New(NamedTuple):
    """A trigger that begins: how many matches one of its name had found; start: of its history, or None."""

    part: Part
    emitted: int
    start: dict[str, Any] | None


@dataclass(slots=True)
class Part:
    """One trigger, as recovery knows it. root: the stream that it stands on, directly or by other triggers."""

    name: str
    source: str
    root: Inflow
    parent: Part | None
    operators: list[Operator]
    outlet: Outlet
    mark: str
    id: int
    source_id: int
    feeder: Any  # Intake or Operator
    build: Callable[[int], list[Operator]]  # for so many workers, new ones; 0: for those there are
    timed: bool
    ordered: bool
    placed: bool
    backfill: Any = None  # True, or the time from which on; None: it begins with the next event
    fresh: list[bytes] = field(default_factory=list)
    known: Known | None = None
    new: New | None = None
    marked: bool = False
    unhandled: bool = False  # matches of an earlier run have to go to handlers
    joined: bool = False
    behind: CatchUp | None = None

    @property
    def cut(self) -> int:
        """Of the entry that it was resumed from; 0: it began afresh."""
        return 0 if self.known is None else self.known.cut

    @property
    def settled(self) -> bool:
        """Whether it is known how it begins."""
        return self.joined or self.known is not None or self.new is not None

    def add_to(
        self,
        runtime: Runtime,
        source: int,
        feeder: Any,
        operators: list[Operator],
        outlet: Any,
        id: int,
        emitted: int,
    ) -> None:
        """Puts it, with these operators, upon a source of `runtime`; emitted: how many matches they have found."""
        runtime.add_trigger(
            source, feeder, operators, outlet,
            id=id, timed=self.timed, ordered=self.ordered, emitted=emitted, placed=self.placed,
        )  # fmt: skip

    def join(self, runtime: Runtime, emitted: int) -> None:
        """It goes upon its source, from the next batch on."""
        self.add_to(runtime, self.source_id, self.feeder, self.operators, self.outlet, self.id, emitted)
        self.joined = True


class Recovery:
    """See the module. every: seconds between checkpoints; None: only by hand and at the end."""

    def __init__(self, runtime: Runtime, store: Store, every: float | None) -> None:
        self._runtime = runtime
        self._store = store
        self._lock = threading.RLock()
        self._taking = threading.Lock()
        self._parts: dict[str, Part] = {}
        self._last: tuple[Cut, dict[str, Any], threading.Event] | None = None  # taken while closing
        self._folder = store.checkpoints
        notes: list[Any] = []
        self._newest = self._folder.newest(notes)
        self.report = Recovered(self._newest.number, notes=[f"{note.file}: {note.what}" for note in notes])
        self._written_at: tuple[Place, ...] = ()
        self._needed: dict[str, int] = {}  # by stream: from where on the newest checkpoint needs its events
        self._ended = threading.Event()
        self._folder.claim()
        runtime.on_suspend = self._suspend
        runtime.on_closed.append(self._last_words)
        if every is not None:
            clock = threading.Thread(target=self._run, args=(every,), name="tocsin-checkpoints", daemon=True)
            clock.start()

    # ------------------------------------------------------------------ triggers

    def declare(self, part: Part) -> None:
        """A trigger was set: it joins when its stream goes live, or now. Raises what joining it raises."""
        if part.parent is not None and part.root.live and not part.parent.joined:
            raise TocsinError(
                f"trigger {part.name!r}: its source {part.source!r} has not caught up with stream {part.root.name!r}; "
                f"set it when {part.source!r}.caught_up() is true"
            )
        with contextlib.suppress(NotImplementedError):  # an operator of the user's: it is not kept
            part.fresh = [operator.save() for operator in part.operators]
        with self._runtime.holding(self._lock):
            if part.root.live:
                self._join_late(part)
            self._parts[part.name] = part
        self._pump()

    def remove(self, name: str) -> None:
        """The trigger is gone for good."""
        with self._runtime.holding(self._lock):
            part = self._parts[name]
        if part.behind is not None:
            part.behind.stop()
        with self._runtime.holding(self._lock):
            if part.joined:
                self._runtime.remove_trigger(part.id)
            else:
                part.outlet.end()
            del self._parts[name]
            if self._entries("trigger", name):
                self._forget([name], {})

    def missed(self) -> int:
        """How many events the triggers of streams that are not live have to see again, at most."""
        count = 0
        for inflow in self._runtime.inflows:
            found = [entry.info["stored"] for entry in self._entries("stream", inflow.name)]
            if found and not inflow.live:
                count += inflow.place().stored - min(found)
        return count

    # ------------------------------------------------------------------ going live

    def go_live(self, progress: Callable[[int], None] | None = None) -> None:
        """All streams that have been declared go live."""
        for inflow in list(self._runtime.inflows):
            if not inflow.live:
                self.stream_live(inflow, progress)

    def stream_live(self, inflow: Inflow, progress: Callable[[int], None] | None = None) -> None:
        """The triggers of a stream take up what they knew, see what they missed, and from then on what is pushed."""
        runtime = self._runtime
        with runtime.holding(self._lock):
            if inflow.live:
                return
            runtime.check()
            began = time.monotonic()
            parts = [part for part in self._parts.values() if part.root is inflow]
            # A full disk or Ctrl-C may have ended an earlier call anywhere: what it has done is not done again.
            known = {part.name: None if part.settled else self._known(part) for part in parts}
            self._hold(self._newest.entries)
            self._refuse_on_loop(inflow, known)
            with runtime.holding(inflow.lock):
                for part in parts:
                    self._take_mark(part)
                    if not part.settled:
                        self._resume(part, known[part.name])
                    if part.unhandled and not (part.known and part.known.alone):
                        part.unhandled = False
                        runtime.note(part.outlet.redeliver)
                resumed = [part for part in parts if part.known is not None and not part.known.alone]
                events = self._see_again(inflow, resumed, progress or _nothing)
                for part in parts:
                    if not part.settled:
                        part.new = self._begin(part)
                begun = [part.new for part in parts if part.new is not None]
                for part, emitted, start in begun:
                    if start is None and not part.joined and (part.parent is None or part.parent.joined):
                        part.join(runtime, emitted)
                seen = inflow.snapshot()
                if resumed:
                    runtime.note(lambda: _forget_faults(resumed))
            self.report.events[inflow.name] = events
            for lost in inflow.lost:
                self.report.notes.append(f"stream {inflow.name!r}: triggers have not seen {lost}")
                logger.error("tocsin: stream %r: triggers have not seen %s", inflow.name, lost)
            self.report.seconds += time.monotonic() - began
            if begun:
                self._write({inflow.name: seen}, begun)
            inflow.live = True  # not before: who pushes must find its triggers written down
            for part in parts:
                self._catch_up(part)
            if resumed or events:
                logger.info(
                    "tocsin: stream %r: %d triggers resumed from checkpoint %d, %d events seen again",
                    inflow.name, len(resumed), self._newest.number, events,
                )  # fmt: skip
        self._pump()

    def _pump(self) -> None:
        if self._runtime.inline:
            with self._runtime.lock:
                self._runtime.pump()

    def _refuse_on_loop(self, inflow: Inflow, known: dict[str, Known | None]) -> None:
        missed = any(
            one is not None and not one.alone and one.place != inflow.place() for one in known.values()
        )
        if missed and self._runtime.dispatch.on_handler_loop():
            raise TocsinError(
                f"stream {inflow.name!r}: events that its triggers have not seen go to handlers on this event loop, "
                "which waiting for them would stop; await asyncio.to_thread(engine.recover) before the first push"
            )

    def _entries(self, kind: str, name: str) -> list[Entry]:
        return [entry for entry in self._newest.entries if entry.kind == kind and entry.name == name]

    def _known(self, part: Part) -> Known | None:
        """What the newest checkpoint has of a trigger; None: nothing that can be resumed, and the report says why."""
        entries = self._entries("trigger", part.name)
        if not entries:
            return None
        why, known = None, None
        first, log = entries[0], part.outlet.log
        assert log is not None
        info = first.info
        starts = [entry for entry in self._entries("stream", part.root.name) if entry.cut == first.cut]
        alone = info.get("from")
        if info["mark"] != part.mark or info["source"] != part.source or info["stream"] != part.root.name:
            why = "its definition or source is another one than before"
        elif len(entries) != first.parts or not (starts or alone):
            why = "the checkpoint has not all of its state"
        elif info["emitted"] > log.next:
            why = f"its match log has lost matches {log.next} to {info['emitted'] - 1}"
        else:
            start = (alone, b"") if alone else (starts[0].info, starts[0].data)
            known = Known(first.cut, info["emitted"], info["version"], _states(entries), start, bool(alone))
            if not part.root.has_from(known.place.stored):
                why = (
                    f"events from {known.place.stored} on, which it has not seen, are no longer in the store"
                )
        if why:
            self._afresh(part, why)
            return None
        return known

    def _afresh(self, part: Part, why: str) -> None:
        self.report.afresh[part.name] = why
        logger.warning("tocsin: trigger %r begins with the next event: %s", part.name, why)

    def _resume(self, part: Part, known: Known | None) -> bool:
        """Gives a trigger back what it knew; whether it sees what it missed with the others of its stream."""
        if known is None:
            return False
        if part.parent is not None and part.parent.cut != known.cut:
            self._afresh(part, f"its source {part.source!r} has gone on without it")
            return False
        if not known.alone:
            try:
                part.operators[:], instances = know(part.build, known.states, self._runtime.workers)
            except StateError as wrong:
                self._afresh(part, str(wrong))
                return False
            if instances > 1 and len(part.operators) == 1:
                self.report.notes.append(
                    f"trigger {part.name!r}: {instances} workers kept its state; one goes on with it"
                )
        assert part.outlet.log is not None
        part.outlet.log.version = known.version
        part.outlet.known_faults = self._told_faults(part)
        part.known = known
        self.report.resumed[part.name] = known.emitted
        return not known.alone

    def _see_again(self, inflow: Inflow, resumed: list[Part], progress: Callable[[int], None]) -> int:
        """The stream is as it was at the first of their places, and sees the events since; parts join at theirs."""
        starts = {part.known.place: part.known.start for part in resumed if part.known is not None}
        stop = inflow.place()
        if not starts:
            entries = self._entries("stream", inflow.name)
            if not entries:
                return 0
            newest = max(entries, key=lambda entry: entry.cut)
            starts = {Place(newest.info["stored"], newest.info["marks"]): (newest.info, newest.data)}
        begin = min(starts)
        if not inflow.has_from(begin.stored):
            return 0
        if inflow.at is None:
            inflow.resume(*starts[begin])
        for place in sorted(starts):
            inflow.replay(place, progress)
            for part in resumed:
                if part.known is not None and part.known.place == place and not part.joined:
                    part.join(self._runtime, part.known.emitted)
        inflow.replay(stop, progress)
        return stop.stored - begin.stored

    def _take_mark(self, part: Part) -> None:
        """Finds out what handlers had not finished with: that goes to them before anything else."""
        log = part.outlet.log
        assert log is not None
        if part.marked:
            return
        part.marked = True
        noted = [entry.info.get("handled") for entry in self._entries("trigger", part.name)]
        wrong = log.begin(noted[0] if noted else None)
        if wrong:
            self.report.notes.append(f"trigger {part.name!r}: {wrong}")
        if log.handled < log.next:
            self.report.handed_over[part.name] = log.next - log.handled
            part.unhandled = True

    def _told_faults(self, part: Part) -> frozenset[tuple[int, int]]:
        letters = f"dead_letters/{part.name}"
        if self._store.find(letters) is None:
            return frozenset()
        found = set()
        for batch in self._store.scan(letters, columns=["kind", "first_sequence", "last_sequence"]):
            kinds, firsts, lasts = (column.to_pylist() for column in batch.columns)
            found |= {
                (first, last)
                for kind, first, last in zip(kinds, firsts, lasts, strict=True)
                if kind == "fault" and first >= 0
            }
        return frozenset(found)

    def _begin(self, part: Part) -> New:
        """A trigger that knows nothing: how many matches one of its name had found before, and from where it goes."""
        log = part.outlet.log
        assert log is not None
        log.version = log.last_version() + 1
        start = None
        if part.backfill is not None:
            start = part.root.beginning(part.backfill)
            part.known = Known(0, log.next, log.version, part.fresh, (start, b""), True)
        return New(part, log.next, start)

    def _join_late(self, part: Part) -> None:
        """A trigger that is set while its stream is live."""
        runtime, inflow = self._runtime, part.root
        known = self._known(part)
        begun: list[New] = []
        with runtime.holding(inflow.lock):
            self._take_mark(part)
            if known is not None and known.place != inflow.place():
                if part.parent is None:
                    known = replace(known, alone=True)
                else:
                    self._afresh(part, "its stream has gone on without it")
                    known = None
            if self._resume(part, known) and known is not None:
                part.join(runtime, known.emitted)
            if not part.cut:
                begun = [self._begin(part)]
                if begun[0].start is None:
                    part.join(runtime, begun[0].emitted)
            seen = inflow.snapshot()
        if begun:
            self._write({inflow.name: seen}, begun)
        if part.unhandled and part.joined:
            part.outlet.when_heard(lambda: runtime.note(part.outlet.redeliver))
        self._catch_up(part)

    def _catch_up(self, part: Part) -> None:
        """If it goes through history by itself, that begins."""
        known = part.known
        if part.joined or known is None or not known.alone:
            return

        def joined(operators: list[Operator], emitted: int) -> None:
            part.operators[:] = operators
            part.join(self._runtime, emitted)
            for upon in list(self._parts.values()):
                if (
                    upon.parent is not None
                    and upon.parent.joined
                    and not upon.joined
                    and upon.outlet.log is not None
                ):
                    upon.join(self._runtime, upon.outlet.log.next)

        part.behind = CatchUp(
            self._runtime, part, known.start, known.states, known.emitted, joined, self._checkpoint_if_open
        )
        part.behind.begin()

    # ------------------------------------------------------------------ checkpoints

    def checkpoint(self) -> int:
        """Takes one and writes it; its number. Raises StoreError; then the one before holds."""
        self.go_live()
        with self._taking:
            seen: dict[str, Any] = {}
            cut = self._runtime.cut(lambda: self._look(seen))
            return self._keep(cut, seen)

    def _look(self, seen: dict[str, Any]) -> None:
        """While nobody may push: where every stream is."""
        for inflow in self._runtime.inflows:
            if inflow.live:
                seen[inflow.name] = inflow.snapshot()

    def _keep(self, cut: Cut, seen: dict[str, Any]) -> int:
        if cut.failure is not None:
            raise StoreError(
                f"checkpoint: the state of a trigger cannot be saved: {cut.failure}"
            ) from cut.failure
        places = tuple(Place(info["stored"], info["marks"]) for info, _ in seen.values())
        with self._runtime.holding(self._lock):
            behind = [
                name for name, part in self._parts.items() if part.outlet.log and part.outlet.log.behind
            ]
            if behind:
                raise StoreError(
                    f"checkpoint: matches of trigger {behind[0]!r} wait for the disk; the checkpoint before holds"
                )
            number = self._write(seen, [], cut)
            self._written_at = places
            return number

    def _write(self, seen: dict[str, Any], new: Iterable[New], cut: Cut | None = None) -> int:
        """Writes a checkpoint: of `cut` (or none), of triggers that are new, and for all others what the newest has."""
        number = self._folder.next_number()
        self._store.sync()  # it must not know of events or matches that a power failure takes
        entries: list[Entry] = []
        taken: set[str] = set()
        for name, part in self._parts.items():
            if cut is not None and part.joined and part.id in cut.emitted:
                entries += self._trigger_entries(part, number, cut.emitted[part.id], cut.of(part.id))
                taken.add(name)
        for part, emitted, start in new:
            entries += self._trigger_entries(part, number, emitted, part.fresh, start)
            taken.add(part.name)
        carried = [
            entry for entry in self._newest.entries if entry.kind == "trigger" and entry.name not in taken
        ]
        wanted = {(entry.info["stream"], entry.cut) for entry in carried}
        for entry in self._newest.entries:
            if entry.kind == "stream" and ((entry.name, entry.cut) in wanted or entry.name not in seen):
                entries.append(entry)
        for name, (info, held) in seen.items():
            entries.append(Entry("stream", name, number, info, held))
        self._folder.write([*entries, *carried])
        try:
            # Read back, its data are a map of the file: nothing is kept in memory.
            self._newest = self._folder.newest([])
        except StoreError:
            self._newest = Checkpoint(number, (*entries, *carried))
        self._hold([*entries, *carried])
        return number

    def _hold(self, entries: Iterable[Entry]) -> None:
        """Retention leaves the events that this checkpoint, and the one before, would have to see again."""
        starts = {
            (entry.name, entry.cut): int(entry.info["stored"]) for entry in entries if entry.kind == "stream"
        }
        needed: dict[str, int] = {}
        for entry in entries:
            if entry.kind == "trigger" and entry.name in self._parts:
                name = entry.info["stream"]
                start = entry.info.get("from", {}).get("stored", starts.get((name, entry.cut)))
                if start is not None:
                    needed[name] = min(start, needed.get(name, start))
        for inflow in self._runtime.inflows:
            now = needed.get(inflow.name, inflow.place().stored)
            before, self._needed[inflow.name] = self._needed.get(inflow.name, now), now
            inflow.log.hold("checkpoint", min(now, before))

    def _trigger_entries(
        self, part: Part, cut: int, emitted: int, data: list[bytes], start: dict[str, Any] | None = None
    ) -> list[Entry]:
        log = part.outlet.log
        assert log is not None
        info = {
            "source": part.source, "stream": part.root.name, "mark": part.mark, "version": log.version,
            "emitted": emitted, "handled": log.handled,
        }  # fmt: skip
        if start is not None:
            info["from"] = start
        return [Entry("trigger", part.name, cut, info, state, k, len(data)) for k, state in enumerate(data)]

    # ------------------------------------------------------------------ by itself, and at the end

    def _run(self, every: float) -> None:
        pause = every
        while not self._ended.wait(pause):
            began = time.monotonic()
            self._checkpoint_if_open(only_if_moved=True)
            # A state so large that it takes long to write is written less often.
            pause = max(every, 9 * (time.monotonic() - began))

    def _checkpoint_if_open(self, only_if_moved: bool = False) -> None:
        """One that nobody has asked for: a failure is logged, unless the engine closes.

        only_if_moved: not if nothing has come since the last one.
        """
        try:
            places = tuple(inflow.place() for inflow in self._runtime.inflows if inflow.live)
            if not only_if_moved or (places and places != self._written_at):
                self.checkpoint()
        except ClosedError:
            pass
        except Exception as failure:
            if not self._ended.is_set():
                logger.warning("tocsin: no checkpoint could be written, the one before holds: %s", failure)

    def caught_up(self) -> None:
        """Returns when all triggers that go through history have joined."""
        for part in list(self._parts.values()):
            if part.behind is not None:
                part.behind.done.wait()

    def _suspend(self) -> None:
        """The engine closes, and what is open stays so: the last cut goes into the ring behind all that was pushed."""
        self._ended.set()
        handled = threading.Event()
        seen: dict[str, Any] = {}
        self._look(seen)
        self._last = (self._runtime.post_cut(handled.set), seen, handled)

    def _last_words(self) -> None:
        """All has been handled: the last checkpoint; if the input was ended, one in which no trigger knows anything."""
        self._ended.set()
        try:
            for part in self._parts.values():
                if part.behind is not None:
                    part.behind.stop()
                if not part.joined:
                    part.outlet.end()
                if part.outlet.log is not None:
                    part.outlet.log.settle()
            if self._last is None:
                seen: dict[str, Any] = {}
                self._look(seen)
                if seen:
                    live = [name for name, part in self._parts.items() if part.joined]
                    self._parts = {}
                    self._forget(live, seen)
            else:
                cut, seen, handled = self._last
                if seen and handled.is_set():
                    self._keep(cut, seen)
        finally:
            for part in self._parts.values():
                if part.outlet.log is not None:
                    part.outlet.log.close()
            self._folder.release()

    def _forget(self, names: list[str], seen: dict[str, Any]) -> None:
        kept = [
            entry for entry in self._newest.entries if not (entry.kind == "trigger" and entry.name in names)
        ]
        self._newest = Checkpoint(self._newest.number, tuple(kept))
        self._write(seen, [])


def _states(entries: list[Entry]) -> list[bytes]:
    ordered = sorted(entries, key=lambda entry: entry.part)
    return [entry.data if isinstance(entry.data, bytes) else entry.data.to_pybytes() for entry in ordered]


def _nothing(events: int) -> None:
    pass


def _forget_faults(parts: list[Part]) -> None:
    for part in parts:
        part.outlet.known_faults = frozenset()
