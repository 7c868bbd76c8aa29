"""Prometheus: the figures of engines (stats.py) in the form that a Prometheus server reads.

    from prometheus_client import REGISTRY, start_http_server
    from tocsin.connectors.prometheus import PrometheusCollector

    REGISTRY.register(PrometheusCollector(engine))
    start_http_server(9000)

Names and units follow Prometheus's conventions: counts that only grow end in ``_total``, durations are seconds, sizes
bytes.

    by stream     tocsin_events_total  tocsin_batches_total  tocsin_late_events_total  tocsin_dropped_events_total
                  tocsin_late_events_forgotten_total  tocsin_late_events_kept  tocsin_waiting_events
                  tocsin_watermark_lag_seconds (a time column of integers: tocsin_watermark_lag_ticks)
    by trigger    tocsin_matches_total  tocsin_match_batches_total  tocsin_dead_letters_total  tocsin_faults_total
                  tocsin_handler_calls_total  tocsin_handler_failures_total  tocsin_handler_retries_total
                  tocsin_open_attempts  tocsin_partitions  tocsin_kept_rows  tocsin_state_bytes
                  tocsin_latency_seconds (a histogram: push accepted to handlers done)
    by ring       tocsin_ring_depth  tocsin_ring_capacity (ring="inbox", "outbox")
    by engine     tocsin_pending_batches  tocsin_engine_open (1, or 0 once it is closing)

Cost: nothing until somebody scrapes, then one `engine.stats()` for each engine; no engine waits for it.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tocsin.stats import EngineStats, LatencyStats, RingStats, StreamStats, TriggerStats

if TYPE_CHECKING:
    from tocsin.engine import Engine

# The bounds of the histogram in nanoseconds, 1 µs to 34 s: powers of two, where buckets of the core's histogram end, so
# that the counts are exact.
BOUNDS_NS = tuple(1 << power for power in range(10, 36))

STREAM_FIGURES = (
    ("counter", "events", "events", "Events accepted, late and waiting ones included."),
    ("counter", "batches", "batches", "Batches accepted."),
    ("counter", "late_events", "late", "Events that came behind the watermark."),
    (
        "counter",
        "late_events_forgotten",
        "late_forgotten",
        "Late events that are not kept for late() any more.",
    ),
    ("counter", "dropped_events", "dropped", "Events dropped because the ring was full."),
    ("gauge", "waiting_events", "waiting", "Events that wait for the watermark."),
    ("gauge", "late_events_kept", "late_kept", "Late events that wait for late()."),
    ("gauge", "watermark_lag_seconds", "watermark_lag_seconds", "Newest event time minus watermark."),
)
TRIGGER_FIGURES = (
    ("counter", "matches", "matches", "Matches delivered."),
    ("counter", "match_batches", "match_batches", "Batches of matches delivered."),
    ("counter", "handler_calls", "handler_calls", "Calls of handlers."),
    ("counter", "handler_failures", "handler_failures", "Calls of handlers that raised."),
    ("counter", "handler_retries", "handler_retries", "Calls of handlers that repeated one that had raised."),
    ("counter", "dead_letters", "dead_letters", "Batches of matches or events that became dead letters."),
    ("counter", "faults", "faults", "Batches and matches that the trigger could not evaluate."),
    ("gauge", "open_attempts", "open_attempts", "Open attempts (partial matches)."),
    ("gauge", "partitions", "partitions", "Partitions seen."),
    ("gauge", "kept_rows", "kept_rows", "Rows of events kept for attempts."),
    ("gauge", "state_bytes", "state_bytes", "Memory of the trigger's state."),
)
RING_FIGURES = (
    ("gauge", "ring_depth", "depth", "Slots of the ring that are taken."),
    ("gauge", "ring_capacity", "capacity", "Slots of the ring."),
)


class PrometheusCollector:
    """A collector of prometheus-client: the figures of one or several engines, taken anew by each scrape.

    Args:
        engine: a tocsin.Engine, open or closed; None: engines come by `add`. It is not kept alive: one that is gone
            exports nothing, one that is closed the figures it ended with.
        labels: for all of its figures, to tell engines apart: ``PrometheusCollector(engine, site="north")``.

    Raises:
        ImportError: prometheus-client is not installed: pip install tocsin[metrics].
        ValueError: a label that Prometheus does not take, or that the figures have themselves.

    >>> import pyarrow as pa, tocsin as tc
    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> from tocsin.connectors.prometheus import PrometheusCollector
    >>> registry = CollectorRegistry()
    >>> with tc.Engine(workers=0) as engine:
    ...     registry.register(PrometheusCollector(engine))
    ...     trades = engine.stream("trades", pa.schema([("price", pa.float64())]))
    ...     _ = trades.push({"price": [2.5, 4.0]})
    ...     print([line for line in generate_latest(registry).decode().splitlines() if "events_total{" in line][0])
    tocsin_events_total{stream="trades"} 2.0
    """

    def __init__(self, engine: Engine | None = None, /, **labels: str) -> None:
        try:
            import prometheus_client.core as core
        except ImportError as cause:
            raise ImportError(
                "PrometheusCollector needs prometheus-client: pip install tocsin[metrics]", name=cause.name
            ) from cause
        self._core = core
        self._engines: list[tuple[weakref.ref[Engine], dict[str, str]]] = []
        if engine is not None:
            self.add(engine, **labels)
        elif labels:
            raise ValueError(f"labels {', '.join(labels)} without an engine: give them to add()")

    def add(self, engine: Engine, /, **labels: str) -> None:
        """One more engine, with the same labels and other values: a registry takes one collector of these names only.

        Args:
            engine: a tocsin.Engine.
            labels: what tells it from the others.

        Raises:
            ValueError: a label that Prometheus does not take or that the figures have themselves; other labels than the
                engines before have, or the same values.
        """
        for name in labels:
            if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) or name.startswith("__"):
                raise ValueError(
                    f"label {name!r}: Prometheus takes letters, digits and _, and no __ at the start"
                )
            if name in ("stream", "trigger", "ring", "le"):
                raise ValueError(f"label {name!r} is one that the figures have themselves: choose another")
        known = [values for _, values in self._living()]
        if any(values.keys() != labels.keys() for values in known):
            raise ValueError(
                f"labels {sorted(labels)}: the engines of one collector have the same: {sorted(known[0])}"
            )
        labels = {name: str(value) for name, value in labels.items()}
        if labels in known:
            raise ValueError(
                f"labels {labels}: there is an engine with these already; give each its own, engine=..."
            )
        self._engines.append((weakref.ref(engine), labels))

    def describe(self) -> Iterator[Any]:
        """For the registry: the names, so that it refuses a second collector of these."""
        return self._families([])

    def collect(self) -> Iterator[Any]:
        """For the registry: all figures as they are now, families of prometheus-client."""
        return self._families([(engine.stats(), labels) for engine, labels in self._living()])

    def _living(self) -> list[tuple[Engine, dict[str, str]]]:
        found = [(reference, reference(), labels) for reference, labels in self._engines]
        self._engines = [(reference, labels) for reference, engine, labels in found if engine is not None]
        return [(engine, labels) for _, engine, labels in found if engine is not None]

    def _families(self, taken: Sequence[tuple[EngineStats, dict[str, str]]]) -> Iterator[Any]:
        names = list(taken[0][1]) if taken else []
        streams: list[tuple[list[str], StreamStats]] = []
        triggers: list[tuple[list[str], TriggerStats]] = []
        rings: list[tuple[list[str], RingStats]] = []
        for stats, labels in taken:
            own = list(labels.values())
            streams += [([*own, stream.name], stream) for stream in stats.streams.values()]
            triggers += [([*own, trigger.name], trigger) for trigger in stats.triggers.values()]
            rings += [
                ([*own, ring], found) for ring in ("inbox", "outbox") if (found := getattr(stats, ring))
            ]
        for kind, name, figure, text in STREAM_FIGURES:
            yield self._family(
                kind, name, text, [*names, "stream"], [(at, getattr(s, figure)) for at, s in streams]
            )
        ticks = [(at, s.watermark_lag) for at, s in streams if s.watermark_lag_seconds is None]
        yield self._family(
            "gauge", "watermark_lag_ticks", "Newest event time minus watermark, in the unit of an integer time column.",
            [*names, "stream"], ticks,
        )  # fmt: skip
        for kind, name, figure, text in TRIGGER_FIGURES:
            yield self._family(
                kind, name, text, [*names, "trigger"], [(at, getattr(t, figure)) for at, t in triggers]
            )
        yield self._histogram([*names, "trigger"], [(at, t.latency) for at, t in triggers])
        for kind, name, figure, text in RING_FIGURES:
            yield self._family(
                kind, name, text, [*names, "ring"], [(at, getattr(r, figure)) for at, r in rings]
            )
        whole = [(list(labels.values()), stats) for stats, labels in taken]
        yield self._family(
            "gauge", "pending_batches", "Taken out of the outbox, not handled yet.", names,
            [(at, stats.pending) for at, stats in whole],
        )  # fmt: skip
        yield self._family(
            "gauge", "engine_open", "1: the engine takes events; 0: it is closing or closed.", names,
            [(at, int(stats.state == "open")) for at, stats in whole],
        )  # fmt: skip

    def _family(
        self,
        kind: str,
        name: str,
        text: str,
        labels: list[str],
        values: Sequence[tuple[list[str], float | None]],
    ) -> Any:
        of = self._core.CounterMetricFamily if kind == "counter" else self._core.GaugeMetricFamily
        family = of(f"tocsin_{name}", text, labels=labels)
        for at, value in values:
            if value is not None:
                family.add_metric(at, value)
        return family

    def _histogram(self, labels: list[str], values: Sequence[tuple[list[str], LatencyStats]]) -> Any:
        family = self._core.HistogramMetricFamily(
            "tocsin_latency_seconds",
            "From push accepted to handlers done, by batch of matches.",
            labels=labels,
        )
        for at, latency in values:
            family.add_metric(at, cumulative(latency), latency.sum)
        return family


def cumulative(latency: LatencyStats) -> list[tuple[str, float]]:
    """(bound in seconds as text, how many took no longer), as Prometheus has its histograms.

    >>> from tocsin.stats import LatencyStats
    >>> cumulative(LatencyStats(3, 0.7, 0.1, 0.5, 0.5, 0.5, 0.5, ((1e-06, 1), (0.1, 1), (0.5, 1))))[-4:]
    [('8.589934592', 3), ('17.179869184', 3), ('34.359738368', 3), ('+Inf', 3)]
    """
    buckets: list[tuple[str, float]] = []
    place = count = 0
    for bound_ns in BOUNDS_NS:
        bound = bound_ns / 1e9
        while place < len(latency.buckets) and latency.buckets[place][0] <= bound:
            count += latency.buckets[place][1]
            place += 1
        buckets.append((repr(bound), count))
    return [*buckets, ("+Inf", latency.count)]


__all__ = ["PrometheusCollector"]
