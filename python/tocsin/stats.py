"""Stats: what an engine has done and how much it holds, as one snapshot of plain numbers.

    worker ──▶ gauges of the operators (once per batch) ─┐
    push   ──▶ gauges of the intake (once per batch) ────┼──▶ engine.stats() ──▶ a person, a log, Prometheus
    handlers ▶ counters of the trigger (once per call) ──┘

Whoever looks takes no lock and nobody waits for him: each number is read whole (tocsin_core.gauge), but they are read
one after the other while the engine goes on, so numbers of one snapshot may be some microseconds apart. After `flush()`
they agree.

The latency of a trigger is the time from the moment when a push had its batch accepted until the handlers had run on
the matches that it led to, once for each batch of matches. For events that waited for the watermark (`lateness=`), and
for absences, that is the push or the `advance` that moved it. The clock is read for this figure only: no decision of
the engine depends on it, and a replay gives what the live run gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tocsin_core.gauge import Counter
from tocsin_core.histogram import Histogram

from .times import unit_ns

if TYPE_CHECKING:
    from tocsin_core.operator import Operator
    from tocsin_core.ring import Ring

    from .engine import Engine
    from .stream import Stream
    from .trigger import Trigger


class TriggerCounters:
    """What happens behind the matcher of one trigger, counted by whatever thread does it."""

    __slots__ = ("batches", "calls", "dead_letters", "failures", "faults", "latency", "retries")

    def __init__(self) -> None:
        self.batches = Counter()  # of matches
        self.calls = Counter()  # of handlers; of those
        self.failures = Counter()  # that raised
        self.retries = Counter()  # that repeated one that had raised
        self.dead_letters = Counter()
        self.faults = Counter()  # batches and matches that the trigger could not evaluate
        self.latency = Histogram()

    def done(self, stamp: int) -> None:
        """All handlers have run on a batch of matches; stamp: when the push that led to it was accepted, or 0."""
        self.latency.since(stamp)


class _Figures:
    """What all snapshots can do."""

    def to_dict(self) -> dict[str, Any]:
        """The same as nested dicts, lists and numbers, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload]


@dataclass(frozen=True, repr=False)
class LatencyStats(_Figures):
    """How long it took from push accepted to handlers done; seconds. Quantiles are right within 3 %.

    Attributes:
        count: batches of matches that were timed.
        sum: of all of them; sum / count is the mean.
        p50, p90, p99, p999: quantiles; None before the first one.
        max: the longest.
        buckets: (bound, how many took longer than the bound before and no longer than this one), not cumulative, by
            size, empty ones left out.
    """

    count: int
    sum: float
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    max: float
    buckets: Sequence[tuple[float, int]] = field(default=())

    def __repr__(self) -> str:
        if not self.count:
            return "LatencyStats(none yet)"
        shown = ", ".join(
            f"{name}={_seconds(getattr(self, name))}" for name in ("p50", "p90", "p99", "p999", "max")
        )
        return f"LatencyStats({self.count} timed, {shown})"


@dataclass(frozen=True, repr=False)
class RingStats(_Figures):
    """A ring: `depth` of its `capacity` slots are taken."""

    depth: int
    capacity: int

    def __repr__(self) -> str:
        return f"RingStats({self.depth} of {self.capacity})"


@dataclass(frozen=True, repr=False)
class StreamStats(_Figures):
    """One stream.

    Attributes:
        name: of the stream.
        events, batches: accepted since the engine was made, late and waiting ones included.
        late: events that came behind the watermark; late_kept: of those, how many wait for `Stream.late()`;
            late_forgotten: how many are no longer kept, because more came than `late_limit` allows.
        waiting: events that wait for the watermark.
        dropped: events that overflow="drop_oldest" has dropped.
        newest_time, watermark: in the unit of the time column; None before the first event, or without such a column.
        watermark_lag: newest_time - watermark, in that unit, not below 0.
        watermark_lag_seconds: the same in seconds; None where the column is an integer, which has no unit of its own.
    """

    name: str
    events: int
    batches: int
    late: int
    late_kept: int
    late_forgotten: int
    waiting: int
    dropped: int
    newest_time: int | None
    watermark: int | None
    watermark_lag: int | None
    watermark_lag_seconds: float | None

    def __repr__(self) -> str:
        more = _more(self, ("late", "waiting", "dropped"))
        return f"StreamStats({self.name!r}: {self.events} events in {self.batches} batches{more})"


@dataclass(frozen=True, repr=False)
class TriggerStats(_Figures):
    """One trigger; the state is that after the last batch that its worker has done, the sum over all workers.

    Attributes:
        name, source: of the trigger, and of the stream or trigger that it stands on.
        matches, match_batches: delivered so far.
        handler_calls: of all its handlers; handler_failures: those that raised; handler_retries: those that repeated a
            call that had raised.
        dead_letters: batches of matches or events that went there.
        faults: batches and matches that could not be evaluated, batches refused by a limit included.
        open_attempts: partial matches; partitions: seen so far.
        kept_rows: rows of events that attempts may still read; None for a pattern or condition that keeps single values
            of rows instead (they count in state_bytes).
        state_bytes: memory of the trigger's state: what its buffers have room for, and texts.
        latency: LatencyStats.
    """

    name: str
    source: str
    matches: int
    match_batches: int
    handler_calls: int
    handler_failures: int
    handler_retries: int
    dead_letters: int
    faults: int
    open_attempts: int
    partitions: int
    kept_rows: int | None
    state_bytes: int
    latency: LatencyStats

    def __repr__(self) -> str:
        more = _more(self, ("handler_failures", "dead_letters", "faults"))
        return (
            f"TriggerStats({self.name!r} on {self.source!r}: {self.matches} matches, "
            f"{self.open_attempts} open attempts, {self.partitions} partitions, {_bytes(self.state_bytes)}{more}, "
            f"{self.latency!r})"
        )


@dataclass(frozen=True, repr=False)
class EngineStats(_Figures):
    """One snapshot of an engine; made by `Engine.stats`.

    Attributes:
        state: "open", "closing", "closed" or "forked".
        inbox: RingStats of the batches that wait for a worker, or are in its hands.
        outbox: RingStats of the batches of matches that wait for the dispatcher; None with workers=0.
        pending: what the dispatcher has taken out of it, and not handled yet.
        streams, triggers: by name, in the order in which they were made.
    """

    state: str
    inbox: RingStats
    outbox: RingStats | None
    pending: int
    streams: dict[str, StreamStats]
    triggers: dict[str, TriggerStats]

    def __repr__(self) -> str:
        lines = [
            f"EngineStats({self.state}, inbox={self.inbox!r}, outbox={self.outbox!r}, pending={self.pending}"
        ]
        lines += [f"  {part!r}" for part in (*self.streams.values(), *self.triggers.values())]
        return "\n".join(lines) + ")"


# ---------------------------------------------------------------------- taking them


def latency_stats(histograms: Iterable[Histogram]) -> LatencyStats:
    """What several histograms say together.

    >>> latency = Histogram()
    >>> for ns in range(1, 101):
    ...     latency.record(ns * 1_000_000)
    >>> latency_stats([latency])
    LatencyStats(100 timed, p50=50.3 ms, p90=90.2 ms, p99=100 ms, p999=100 ms, max=100 ms)
    """
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    total, longest, buckets = whole.read()
    count = sum(n for _, n in buckets)

    def quantile(share: float) -> float | None:
        if not count:
            return None
        rank, seen = max(1, int(-(-share * count // 1))), 0
        for bound, n in buckets:
            seen += n
            if seen >= rank:
                return min(bound, longest) / 1e9
        return longest / 1e9

    return LatencyStats(
        count, total / 1e9, quantile(0.5), quantile(0.9), quantile(0.99), quantile(0.999), longest / 1e9,
        tuple((bound / 1e9, n) for bound, n in buckets),
    )  # fmt: skip


def stream_stats(stream: Stream) -> StreamStats:
    """The figures of one stream."""
    events, batches, newest, watermark = stream._intake.figures()
    reorder = stream._reorder
    lag = seconds = None
    if watermark is not None and stream.time is not None:
        lag = 0 if newest is None else max(0, newest - watermark)
        unit = unit_ns(stream.schema.field(stream.time).type)
        seconds = None if unit is None else lag * unit / 1e9
    return StreamStats(
        stream.name, events, batches,
        late=stream.late_count, late_kept=0 if reorder is None else reorder.late_kept,
        late_forgotten=0 if reorder is None else reorder.late_forgotten, waiting=stream.waiting,
        dropped=stream.dropped, newest_time=newest, watermark=watermark,
        watermark_lag=lag, watermark_lag_seconds=seconds,
    )  # fmt: skip


def trigger_stats(trigger: Trigger) -> TriggerStats:
    """The figures of one trigger."""
    operators: Sequence[Operator] = trigger._operators
    figures = [operator.figures() for operator in operators]
    counted = [rows for _, _, rows, _ in figures if rows >= 0]
    outlet, counters = trigger._outlet, trigger._outlet.counters
    return TriggerStats(
        trigger.name, trigger.source.name, outlet.matched, counters.batches.value,
        counters.calls.value, counters.failures.value, counters.retries.value,
        counters.dead_letters.value, counters.faults.value,
        open_attempts=sum(n for n, _, _, _ in figures), partitions=sum(n for _, n, _, _ in figures),
        kept_rows=sum(counted) if counted else None, state_bytes=sum(n for _, _, _, n in figures),
        latency=latency_stats([counters.latency]),
    )  # fmt: skip


def engine_stats(engine: Engine) -> EngineStats:
    """The figures of an engine, open or closed."""
    runtime = engine._runtime
    return EngineStats(
        runtime.state, _ring_stats(runtime.inbox), None if runtime.outbox is None else _ring_stats(runtime.outbox),
        len(runtime._pending),
        {name: stream_stats(stream) for name, stream in list(engine.streams.items())},
        {name: trigger_stats(trigger) for name, trigger in list(engine.triggers.items())},
    )  # fmt: skip


def _ring_stats(*rings: Ring) -> RingStats:
    return RingStats(sum(ring.depth for ring in rings), sum(ring.capacity for ring in rings))


# ---------------------------------------------------------------------- showing them


def _more(stats: Any, names: Sequence[str]) -> str:
    """The counts that are not zero."""
    return "".join(
        f", {getattr(stats, name)} {name.replace('_', ' ')}" for name in names if getattr(stats, name)
    )


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def _bytes(value: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value} bytes"


__all__ = [
    "EngineStats",
    "LatencyStats",
    "RingStats",
    "StreamStats",
    "TriggerCounters",
    "TriggerStats",
    "engine_stats",
    "latency_stats",
    "stream_stats",
    "trigger_stats",
]
