"""python -m benchmarks.rival_host MODULE EVENTS COLUMNS FOLDER: one rival in its own process.

Says one line of JSON when ready ({"name": …}, or {"missing": …} and ends), then one per line read:
{"seconds", "checksum", "detail"}. It ends when its input does. FOLDER is for what a rival writes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

# One thread each, as the table says; set before the libraries read them.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def main(module: str, events: str, columns: str, folder: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not mix with our lines
    try:
        from benchmarks import data
        from benchmarks.timing import measured, summed

        rival = importlib.import_module(f"benchmarks.rivals.{module}")
    except ModuleNotFoundError as missing:
        print(json.dumps({"missing": missing.name}), file=answers)
        return
    os.chdir(Path(folder))
    state = rival.setup(data.GENERATORS[rival.DATA](int(events)))
    print(json.dumps({"name": rival.NAME}), file=answers)
    for _ in sys.stdin:
        timed = measured(lambda: rival.run(state))
        rows, total = summed(timed, columns.split(","))
        said = {"seconds": timed.seconds, "checksum": [rows, total], "detail": timed.detail}
        print(json.dumps(said), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
