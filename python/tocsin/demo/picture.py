"""Draws some days of one aircraft: a dot for each departure, the matches of the three triggers on top.

matplotlib is optional: `draw` raises ImportError without it, and the caller says so in one line.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Row = dict[str, Any]

_MARGIN = dt.timedelta(hours=12)
_GREY, _BLUE, _ORANGE, _RED = "#8a8f98", "#2b6cb0", "#dd6b20", "#c53030"


def choose(spirals: pa.Table, vees: pa.Table) -> Row | None:
    """The match to show: of the spirals that share a leg with a V-shape, longest, then steepest.

    Without such a pair, the same among all spirals; None if there is no spiral. Steep means
    a large difference between the delays on the last and on the first leg.
    """
    touched: dict[str, list[tuple[dt.datetime, dt.datetime]]] = {}
    for vee in vees.to_pylist():
        touched.setdefault(vee["tailnum"], []).append((vee["started"], vee["ended"]))

    def rank(spiral: Row) -> tuple[bool, int, int]:
        spans = touched.get(spiral["tailnum"], ())
        shared = any(start <= spiral["ended"] and stop >= spiral["started"] for start, stop in spans)
        return shared, spiral["legs"], spiral["last_delay"] - spiral["first_delay"]

    return max(spirals.to_pylist(), key=rank, default=None)


def draw(flights: pa.Table, spiral: Row, matches: dict[str, pa.Table], path: Path) -> None:
    """Writes a PNG with the departures of the aircraft of `spiral`: its matches and half a day around.

    Parameters
    ----------
    flights : pyarrow.Table
        The events (see flights.py).
    spiral : dict
        One row of the trigger "spiral", as `choose` returns it.
    matches : dict of str to pyarrow.Table
        The matches of "very_late", "spiral" and "v_shape".
    path : Path
        The file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.dates as mdates
    from matplotlib.figure import Figure

    tail = spiral["tailnum"]
    start, stop = spiral["started"], spiral["ended"]
    for vee in _between(matches["v_shape"], tail, start, stop):
        start, stop = min(start, vee["started"]), max(stop, vee["ended"])
    start, stop = start - _MARGIN, stop + _MARGIN
    legs = [leg for leg in _between(flights, tail, start, stop) if leg["dep_delay"] is not None]
    clock = [leg["local"] for leg in legs]
    delay = [leg["dep_delay"] for leg in legs]

    figure = Figure(figsize=(11, 5.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.axhline(120, color=_RED, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
    axes.plot(clock, delay, color=_GREY, linewidth=1, zorder=2)
    axes.scatter(clock, delay, s=26, color=_GREY, zorder=3, label="departure")
    vee_style: Row = {"color": _BLUE, "alpha": 0.25, "linewidth": 9, "zorder": 1.5}
    spiral_style: Row = {"color": _ORANGE, "linewidth": 2.6, "marker": "o", "markersize": 6, "zorder": 4}
    for name, meaning, style in (
        ("v_shape", "V-shape: down twice or more, up twice or more", vee_style),
        ("spiral", "spiral: late, and later on the next leg", spiral_style),
    ):
        label: str | None = meaning
        for match in _between(matches[name], tail, start, stop):
            inside = [i for i, leg in enumerate(legs) if match["started"] <= leg["ts"] <= match["ended"]]
            points = [clock[i] for i in inside], [delay[i] for i in inside]
            axes.plot(*points, label=label, solid_capstyle="round", solid_joinstyle="round", **style)
            label = None  # one entry in the legend, however many matches
    late_at = {match["ts"] for match in _between(matches["very_late"], tail, start, stop)}
    axes.scatter(
        [clock[i] for i, leg in enumerate(legs) if leg["ts"] in late_at],
        [delay[i] for i, leg in enumerate(legs) if leg["ts"] in late_at],
        s=150,
        facecolors="none",
        edgecolors=_RED,
        linewidths=1.6,
        zorder=5,
        label="very late: over 120 min",
    )

    low, high = min([*delay, 0]), max([*delay, 130])
    axes.set_ylim(low - 0.13 * (high - low), high + 0.13 * (high - low))
    for i, leg in enumerate(legs):
        x, y, side = _label_place(delay, i)
        axes.annotate(
            f"{leg['origin']}→{leg['dest']}",
            (clock[i], delay[i]),
            xytext=(x, y),
            textcoords="offset points",
            ha=side,
            va="top" if y < 0 else "bottom",
            fontsize=8,
            color="#333333",
            zorder=6,
        )
    edge = axes.get_yaxis_transform()
    axes.text(1.0, 120, "120 min", color=_RED, fontsize=8, ha="right", va="bottom", transform=edge)

    axes.xaxis.set_major_locator(mdates.HourLocator(byhour=12))
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M\n%a %d %b %Y"))
    axes.xaxis.set_minor_locator(mdates.HourLocator(byhour=(6, 18)))
    axes.xaxis.set_minor_formatter(mdates.DateFormatter("%H:%M"))
    axes.tick_params(axis="x", which="both", labelsize=8.5, length=3.5, pad=3.5)
    axes.margins(x=0.07)
    for midnight in sorted({moment.date() for moment in clock})[1:]:
        axes.axvline(mdates.date2num(midnight), color="#d4d7dc", linewidth=0.8, zorder=0)
    axes.set_xlabel("scheduled departure, New York time")
    axes.set_ylabel("departure delay (minutes)")
    growth = f"from {spiral['first_delay']} to {spiral['last_delay']} minutes"
    figure.suptitle(
        f"Aircraft {tail}: {spiral['legs']} departures in a row, each later than the one before, {growth}",
        x=0.01,
        ha="left",
        fontsize=12,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e8eb", linewidth=0.8, zorder=0)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=4, frameon=False, fontsize=8.5, columnspacing=1.4
    )
    figure.savefig(path)


def _label_place(delay: list[int], i: int) -> tuple[int, int, str]:
    """Where the label of departure `i` meets no line: offset in points (x, y), side that is aligned."""
    rises_to = i > 0 and delay[i - 1] <= delay[i]
    rises_from = i + 1 < len(delay) and delay[i] < delay[i + 1]
    if i > 0 and not rises_to and rises_from:
        return 0, -11, "center"  # under a valley
    if rises_from:
        return -4, 7, "right"  # the line leaves upwards to the right
    if i > 0 and not rises_to:
        return 4, 6, "left"  # the line came down from the left
    return 0, 11, "center"


def _between(table: pa.Table, tail: str, start: dt.datetime, stop: dt.datetime) -> list[Row]:
    """The events or matches of one aircraft that lie between two instants or reach over one of them."""
    if not table.num_rows:
        return []  # a trigger that never fired has no columns either
    first, last = ("started", "ended") if "started" in table.column_names else ("ts", "ts")
    kind = table.schema.field(first).type
    keep = pc.and_(
        pc.equal(table["tailnum"], tail),
        pc.and_(
            pc.greater_equal(table[last], pa.scalar(start, kind)),
            pc.less_equal(table[first], pa.scalar(stop, kind)),
        ),
    )
    rows: list[Row] = table.filter(keep).to_pylist()
    return rows
