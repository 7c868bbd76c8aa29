"""pytest-benchmark's JSON -> the table of ratios.

A ratio is tocsin's rate over the reference's (for a latency, the reference's time over tocsin's), from
medians of runs that took turns: more is better, everywhere. `met` compares it with DESIGN's goal.

    python -m benchmarks.report results.json [--markdown]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

HEAD = ("work", "tocsin", "reference", "its rate", "ratio", "goal", "met?")
SCALE = {"M events/s": 1e6, "k batches/s": 1e3, "k events/s": 1e3, "k commits/s": 1e3}


def rate(work: float, seconds: float, unit: str) -> str:
    """Work per second in `unit`; for µs the time of one piece of work."""
    if unit == "µs":
        return f"{seconds / work * 1e6:.2f} µs"
    value = work / seconds / SCALE[unit]
    return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def percentiles(detail: dict[str, float]) -> str:
    """Of a latency, as the last run had them."""
    told = [f"p{name[1:-3]} {value:.0f}" for name, value in detail.items() if name.endswith("_us")]
    return f" ({', '.join(told)})" if told else ""


def lines(results: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """The table's rows, one for each reference; what could not run says why."""
    for bench in results["benchmarks"]:
        row = bench["extra_info"]
        unit, own = row["unit"], row["median"]
        tocsin = rate(row["work"], own, unit) if own else "not measured"
        name = row["row"]
        tocsin += percentiles(row["detail"])
        if row["load"] > row["cores"]:
            name += f" [BUSY MACHINE: load {row['load']:.1f} on {row['cores']} cores]"
        for reference in row["references"]:
            seconds = median(reference["seconds"])
            its = rate(reference["work"], seconds, unit)
            its += percentiles(reference["detail"])
            ratio = goal = met = ""
            if own:
                value = row["work"] / own / (reference["work"] / seconds)
                ratio = f"{value:.2f}"
                if reference["goal"] is not None:
                    met = "yes" if value >= reference["goal"] else "NO"
            if reference["goal"] is not None:
                goal = f"≥ {reference['goal']:g}"
            who = reference["name"]
            if reference["note"]:
                who += f" ({reference['note']})"
            if not reference["exact"] and reference["matches"] != row["matches"]:
                who += f" [{reference['matches'] - row['matches']:+,} matches of {row['matches']:,}]"
            yield name, tocsin, who, its, ratio, goal, met
            name = tocsin = ""
        for missing in row["absent"]:
            yield name, tocsin, f"{missing['name']}: {missing['note']}", "–", "", "", ""
            name = tocsin = ""


def markdown(results: dict[str, Any]) -> str:
    """The table as Markdown, for RESULTS.md."""
    body = ["| " + " | ".join(row) + " |" for row in [HEAD, *lines(results)]]
    return "\n".join([body[0], "|" + " --- |" * len(HEAD), *body[1:]])


def text(results: dict[str, Any]) -> str:
    """The table for a terminal: a heading for each work, its references below it."""
    out: list[str] = []
    for work, tocsin, reference, its, ratio, goal, met in lines(results):
        if work:
            out += ["", f"{work}: tocsin {tocsin}"]
        compared = f"{ratio:>9} ×" if ratio else ""
        out.append(f"    {its:<26}{compared:<12}{goal:<8}{met:<5}{reference}".rstrip())
    return "\n".join(out)


def read(path: Path) -> dict[str, Any]:
    """The results pytest-benchmark wrote to `path`."""
    return json.loads(path.read_text())


if __name__ == "__main__":
    print((markdown if "--markdown" in sys.argv else text)(read(Path(sys.argv[1]))))
