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
from dataclasses import dataclass, field
from typing import Any

from tocsin_core.operator import Operator
from tocsin_core.shard import Cut
from tocsin_core.shares import Shares, split_state
from tocsin_core.status import ClosedError, StateError, TocsinError

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
    build: Callable[[int], list[Operator]]  # for so many workers, new ones; 0: for those there are
    join: Callable[..., None]  # puts it into the table of routes; emitted: how many matches it has found
    fresh: list[bytes] = field(default_factory=list)
    cut: int = 0  # of the entry that it was resumed from; 0: it began afresh
    joined: bool = False


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
        self._ended = threading.Event()
        runtime.on_suspend = self._suspend
        runtime.on_closed.append(self._last_words)
        if every is not None:
            clock = threading.Thread(target=self._run, args=(every,), name="tocsin-checkpoints", daemon=True)
            clock.start()

    # ------------------------------------------------------------------ triggers

    def declare(self, part: Part) -> None:
        """A trigger was set: it joins when its stream goes live, or now. Raises what joining it raises."""
        with contextlib.suppress(NotImplementedError):  # an operator of the user's: it is not kept
            part.fresh = [operator.save() for operator in part.operators]
        with self._runtime.holding(self._lock):
            if part.root.live:
                self._join_late(part)
            self._parts[part.name] = part

    def remove(self, name: str) -> bool:
        """The trigger is gone for good; whether it had joined, and is to be taken out of the runtime."""
        with self._runtime.holding(self._lock):
            part = self._parts[name]
            joined = part.joined
            if joined:
                self._runtime.remove_trigger(part.id)
            del self._parts[name]
            if self._entries("trigger", name):
                self._forget([name], {})
            return joined

    def part(self, name: str) -> Part:
        """The trigger of this name."""
        return self._parts[name]

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
            resumed, starts = self._resume(inflow, parts)
            if starts and runtime.dispatch.on_handler_loop() and min(starts.values()) != inflow.place():
                raise TocsinError(
                    f"stream {inflow.name!r}: events that its triggers have not seen go to handlers on this event "
                    "loop, which waiting for them would stop; await asyncio.to_thread(engine.recover) before the first "
                    "push"
                )
            with runtime.holding(inflow.lock):
                for part in parts:
                    self._hand_over(part)
                events = self._see_again(inflow, resumed, starts, progress or _nothing)
                begun = [(part, self._begin(part)) for part in parts if not part.joined]
                for part, emitted in begun:
                    part.join(emitted=emitted)
                    part.joined = True
                seen = inflow.snapshot()
                inflow.live = True
                if resumed:
                    runtime.note(lambda: _forget_faults(resumed))
            self.report.events[inflow.name] = events
            self.report.seconds += time.monotonic() - began
            if begun:
                self._write({inflow.name: seen}, begun)
            if resumed or events:
                logger.info(
                    "tocsin: stream %r: %d triggers resumed from checkpoint %d, %d events seen again",
                    inflow.name, len(resumed), self._newest.number, events,
                )  # fmt: skip
        if runtime.inline:
            with runtime.lock:
                runtime.pump()

    def _entries(self, kind: str, name: str) -> list[Entry]:
        return [entry for entry in self._newest.entries if entry.kind == kind and entry.name == name]

    def _resume(self, inflow: Inflow, parts: list[Part]) -> tuple[list[Part], dict[int, Place]]:
        """Gives operators back what they knew. Returns who was, and for each cut that they are of where that was."""
        streams = {entry.cut: entry for entry in self._entries("stream", inflow.name)}
        starts: dict[int, Place] = {}
        resumed: list[Part] = []
        for part in parts:
            entries = self._entries("trigger", part.name)
            if not entries:
                continue
            why = self._restore(part, entries, streams)
            if why is not None:
                self.report.afresh[part.name] = why
                logger.warning("tocsin: trigger %r begins with the next event: %s", part.name, why)
                continue
            info = streams[part.cut].info
            starts[part.cut] = Place(info["stored"], info["marks"])
            part.outlet.known_faults = self._told_faults(part)
            resumed.append(part)
        return resumed, starts

    def _restore(self, part: Part, entries: list[Entry], streams: dict[int, Entry]) -> str | None:
        """Why it cannot be resumed, or None: it has been, and `part.cut` says from where."""
        first, log = entries[0], part.outlet.log
        assert log is not None
        info = first.info
        if info["mark"] != part.mark or info["source"] != part.source or info["stream"] != part.root.name:
            return "its definition or source is another one than before"
        if len(entries) != first.parts:
            return "the checkpoint has not all of its state"
        if first.cut not in streams:
            return "the checkpoint does not say where its stream was"
        if part.parent is not None and part.parent.cut != first.cut:
            return f"its source {part.source!r} has gone on without it"
        at = streams[first.cut].info
        if not part.root.has_from(at["stored"]):
            return f"events from {at['stored']} on, which it has not seen, are no longer in the store"
        if info["emitted"] > log.next:
            return f"its match log has lost matches {log.next} to {info['emitted'] - 1}"
        try:
            self._give_back(
                part, [_bytes(entry.data) for entry in sorted(entries, key=lambda entry: entry.part)]
            )
        except StateError as wrong:
            part.operators[:] = part.build(0)
            return str(wrong)
        part.cut = first.cut
        log.version = info["version"]
        self.report.resumed[part.name] = info["emitted"]
        return None

    def _give_back(self, part: Part, kept: list[bytes]) -> None:
        """The operators know what was kept. Of another number of instances, they go on as they were, on one worker."""
        states = [state for one in kept for state in split_state(one)]
        if not any(states):
            return  # there is no state
        if len(states) != len(part.operators):
            operators = part.build(len(states))
            if len(operators) != len(states):
                raise StateError(f"it is kept in {len(states)} parts, and this trigger has {len(operators)}")
            part.operators[:] = operators
        for operator, state in zip(part.operators, states, strict=True):
            operator.restore(state)
        if len(states) > 1 and len(states) != self._runtime.workers:
            part.operators[:] = [Shares(part.operators)]
            self.report.notes.append(
                f"trigger {part.name!r}: its state was kept by {len(states)} workers; all of it goes on on one"
            )

    def _see_again(
        self, inflow: Inflow, resumed: list[Part], starts: dict[int, Place], progress: Callable[[int], None]
    ) -> int:
        """The stream is as it was at the first of these places, and sees the events since; parts join at theirs."""
        entries = {entry.cut: entry for entry in self._entries("stream", inflow.name)}
        if not entries:
            return 0
        begin = min(starts, key=lambda cut: starts[cut]) if starts else max(entries)
        stop = inflow.place()
        if not inflow.has_from(entries[begin].info["stored"]):
            return 0
        at = inflow.resume(entries[begin].info, entries[begin].data)
        first = at.stored
        for place in sorted(set(starts.values())):
            inflow.replay(at, place, progress)
            at = place
            for part in resumed:
                if starts[part.cut] == place:
                    part.join(emitted=self.report.resumed[part.name])
                    part.joined = True
        inflow.replay(at, stop, progress)
        return stop.stored - first

    def _hand_over(self, part: Part) -> None:
        """What handlers had not finished with goes to them before anything else."""
        log = part.outlet.log
        assert log is not None
        noted = [entry.info.get("handled") for entry in self._entries("trigger", part.name)]
        wrong = log.begin(noted[0] if noted else None)
        if wrong:
            self.report.notes.append(f"trigger {part.name!r}: {wrong}")
        if log.handled < log.next:
            self.report.handed_over[part.name] = log.next - log.handled
            self._runtime.note(part.outlet.redeliver)

    def _told_faults(self, part: Part) -> frozenset[tuple[int, int]]:
        letters = f"dead_letters/{part.name}"
        if letters not in self._store.streams():
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

    def _begin(self, part: Part) -> int:
        """A trigger that knows nothing: how many matches one of its name had found before."""
        log = part.outlet.log
        assert log is not None
        log.version = log.last_version() + 1
        return log.next

    def _join_late(self, part: Part) -> None:
        """A trigger that is set while its stream is live."""
        runtime, inflow = self._runtime, part.root
        self._hand_over(part)
        with runtime.holding(inflow.lock):
            _, starts = self._resume(inflow, [part])
            if part.cut and starts[part.cut] != inflow.place():
                why = "its stream has gone on without it"
                self.report.afresh[part.name] = why
                logger.warning("tocsin: trigger %r begins with the next event: %s", part.name, why)
                part.operators[:] = part.build(0)
                part.cut = 0
                del self.report.resumed[part.name]
            emitted = self.report.resumed[part.name] if part.cut else self._begin(part)
            part.join(emitted=emitted)
            part.joined = True
            seen = inflow.snapshot()
        if not part.cut:
            self._write({inflow.name: seen}, [(part, emitted)])

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

    def _write(self, seen: dict[str, Any], new: Iterable[tuple[Part, int]], cut: Cut | None = None) -> int:
        """Writes a checkpoint: of `cut` (or none), of triggers that are new, and for all others what the newest has."""
        number = self._folder.next_number()
        self._store.sync()  # it must not know of events or matches that a power failure takes
        entries: list[Entry] = []
        taken: set[str] = set()
        for name, part in self._parts.items():
            if cut is not None and part.joined and part.id in cut.emitted:
                data = [state for (id, _), state in sorted(cut.states.items()) if id == part.id]
                entries += self._trigger_entries(part, number, cut.emitted[part.id], data)
                taken.add(name)
        for part, emitted in new:
            entries += self._trigger_entries(part, number, emitted, part.fresh)
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
        self._newest = self._folder.newest([])  # its data are a map of the file: nothing is kept in memory
        return number

    def _trigger_entries(self, part: Part, cut: int, emitted: int, data: list[bytes]) -> list[Entry]:
        log = part.outlet.log
        assert log is not None
        info = {
            "source": part.source, "stream": part.root.name, "mark": part.mark, "version": log.version,
            "emitted": emitted, "handled": log.handled,
        }  # fmt: skip
        return [Entry("trigger", part.name, cut, info, state, k, len(data)) for k, state in enumerate(data)]

    # ------------------------------------------------------------------ by itself, and at the end

    def _run(self, every: float) -> None:
        pause = every
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                places = tuple(inflow.place() for inflow in self._runtime.inflows if inflow.live)
                if places and places != self._written_at:
                    self.checkpoint()
            except ClosedError:
                return
            except Exception as failure:
                if self._ended.is_set():
                    return
                logger.warning("tocsin: no checkpoint could be written, the one before holds: %s", failure)
            # A state so large that it takes long to write is written less often.
            pause = max(every, 9 * (time.monotonic() - began))

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

    def _forget(self, names: list[str], seen: dict[str, Any]) -> None:
        kept = [
            entry for entry in self._newest.entries if not (entry.kind == "trigger" and entry.name in names)
        ]
        self._newest = Checkpoint(self._newest.number, tuple(kept))
        self._write(seen, [])


def _bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else data.to_pybytes()


def _nothing(events: int) -> None:
    pass


def _forget_faults(parts: list[Part]) -> None:
    for part in parts:
        part.outlet.known_faults = frozenset()
