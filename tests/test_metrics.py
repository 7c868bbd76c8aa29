"""The Prometheus exporter: what a server reads is what stats() says, in the form that Prometheus asks for."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import urllib.request
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

import tocsin as tc
from runtime_support import NUMBERS, numbers
from tocsin.connectors.prometheus import PrometheusCollector
from tocsin.engine import Engine

TIMED = pa.schema([("t", pa.timestamp("ms")), ("x", pa.int64())])


def scraped(registry: CollectorRegistry) -> dict[str, Any]:
    """The families by name, as a server reads them."""
    text = generate_latest(registry).decode()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)), "a family twice"
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Any], name: str, **labels: str) -> float:
    found = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


def test_a_scrape_says_what_stats_says() -> None:
    registry = CollectorRegistry()
    with Engine(workers=1) as engine:
        registry.register(PrometheusCollector(engine))
        stream = engine.stream("trades", TIMED, time="t", lateness="1500ms")
        trigger = engine.trigger("large", stream, tc.col("x") > 2)
        trigger.handler(lambda matches: None)
        stream.push({"t": [10_000, 7_000, 11_000], "x": [1, 2, 3]})
        stream.push({"t": [20_000], "x": [4]})
        engine.flush()
        families, stats = scraped(registry), engine.stats()
    assert value(families, "tocsin_events_total", stream="trades") == 4
    assert value(families, "tocsin_late_events_total", stream="trades") == stats.streams["trades"].late == 1
    assert value(families, "tocsin_waiting_events", stream="trades") == 1
    assert value(families, "tocsin_watermark_lag_seconds", stream="trades") == 1.5
    assert value(families, "tocsin_matches_total", trigger="large") == 1
    assert value(families, "tocsin_handler_calls_total", trigger="large") == 1
    assert value(families, "tocsin_state_bytes", trigger="large") == stats.triggers["large"].state_bytes
    assert value(families, "tocsin_ring_capacity", ring="inbox") == 1024
    assert value(families, "tocsin_ring_depth", ring="outbox") == 0
    assert value(families, "tocsin_engine_open") == 1
    assert families["tocsin_events"].type == "counter"
    assert families["tocsin_latency_seconds"].type == "histogram"
    assert not families["tocsin_watermark_lag_ticks"].samples
    assert all(family.documentation for family in families.values())


def test_the_histogram_is_cumulative_and_ends_with_all() -> None:
    registry = CollectorRegistry()
    with Engine(workers=0) as engine:
        registry.register(PrometheusCollector(engine))
        stream = engine.stream("s", NUMBERS)
        trigger = engine.trigger("t", stream, tc.col("n") > 0)
        for n in range(1, 51):
            stream.push(numbers(n))
        for ns in (1024, 1025, 5 * 10**9, 10**12):  # at a bound, just above it, far up, beyond the last
            trigger._outlet.counters.latency.record(ns)
        family, latency = scraped(registry)["tocsin_latency_seconds"], trigger.stats().latency
    buckets = [(s.labels["le"], s.value) for s in family.samples if s.name.endswith("_bucket")]
    counts = dict(buckets)
    assert [float(le) for le, _ in buckets] == sorted(float(le) for le, _ in buckets)
    assert [n for _, n in buckets] == sorted(n for _, n in buckets)
    assert buckets[-1] == ("+Inf", 54)
    for le, n in buckets[:-1]:
        assert n == sum(count for bound, count in latency.buckets if bound <= float(le))
    assert counts["34.359738368"] == 53
    sample = {s.name: s.value for s in family.samples if "le" not in s.labels}
    assert sample["tocsin_latency_seconds_count"] == 54
    assert sample["tocsin_latency_seconds_sum"] == pytest.approx(latency.sum)


def test_over_http_on_loopback() -> None:
    registry = CollectorRegistry()
    with Engine(workers=1) as engine:
        registry.register(PrometheusCollector(engine))
        stream = engine.stream("s", NUMBERS)
        stream.push(numbers(1, 2, 3))
        server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
        try:
            url = f"http://127.0.0.1:{server.server_port}/metrics"
            with urllib.request.urlopen(url, timeout=30) as answer:
                text = answer.read().decode()
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert value(families, "tocsin_events_total", stream="s") == 3


def test_several_engines_are_told_apart_by_their_labels() -> None:
    registry = CollectorRegistry()
    with Engine(workers=0) as north, Engine(workers=1) as south:
        collector = PrometheusCollector(north, site="north")
        registry.register(collector)
        collector.add(south, site="south")
        for engine, count in ((north, 1), (south, 2)):
            stream = engine.stream("s", NUMBERS)
            engine.trigger("t", stream, tc.col("n") > 0)
            stream.push(numbers(*range(1, count + 1)))
            engine.flush()
        families = scraped(registry)
        assert value(families, "tocsin_events_total", site="north", stream="s") == 1
        assert value(families, "tocsin_matches_total", site="south", trigger="t") == 2
        with pytest.raises(ValueError, match="these already"):
            collector.add(south, site="north")
        with pytest.raises(ValueError, match=r"have the same: \['site'\]"):
            collector.add(south, place="x")
        with pytest.raises(ValueError, match="Duplicated"):
            registry.register(PrometheusCollector(south))


@pytest.mark.parametrize("label", ["stream", "trigger", "ring", "le", "__site", "sité"])
def test_a_label_that_cannot_be_is_refused(label: str) -> None:
    with Engine(workers=0) as engine, pytest.raises(ValueError, match=label):
        PrometheusCollector(engine, **{label: "x"})
    with pytest.raises(ValueError, match="give them to add"):
        PrometheusCollector(site="x")


def test_a_closed_engine_exports_its_last_figures_and_one_that_is_gone_nothing() -> None:
    registry = CollectorRegistry()
    engine = Engine(workers=1)
    registry.register(PrometheusCollector(engine))
    stream = engine.stream("s", NUMBERS)
    stream.push(numbers(1))
    engine.close()
    families = scraped(registry)
    assert value(families, "tocsin_events_total", stream="s") == 1
    assert value(families, "tocsin_engine_open") == 0
    del engine, stream
    gc.collect()
    assert not any(family.samples for family in scraped(registry).values())


def test_without_the_library_the_error_names_the_extra_and_the_engine_works() -> None:
    program = textwrap.dedent(
        """
        import sys
        sys.modules["prometheus_client"] = None
        import tocsin as tc, pyarrow as pa
        from tocsin.connectors.prometheus import PrometheusCollector
        with tc.Engine(workers=0) as engine:
            engine.stream("s", pa.schema([("n", pa.int64())])).push({"n": [1]})
            print(engine.stats().streams["s"].events)
            try:
                PrometheusCollector(engine)
            except ImportError as failure:
                print(failure)
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "1",
        "PrometheusCollector needs prometheus-client: pip install tocsin[metrics]",
    ]
