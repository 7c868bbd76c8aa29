"""One row of the table: tocsin and its references take turns on the same data, with equal answers.

`Race.__call__` runs everybody once untimed and compares checksums with the judge's, then lets all of them
take turns for `rounds` rounds: a machine that gets slower (heat, a neighbour) gets slower for all. The times
go into pytest-benchmark's `extra_info`; `benchmarks.report` makes the ratios. Nothing is asserted about time.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from benchmarks.loops import BUILD
from benchmarks.timing import Timed, measured, summed

ROOT = Path(__file__).resolve().parent.parent
RIVALS_PYTHON = BUILD / "rivals" / "bin" / "python"
ROUNDS = 5
RIVAL_LIMIT_S = 60


@dataclass
class Reference:
    """One who runs beside tocsin.

    `goal` is the least ratio tocsin's rate / this rate that DESIGN asks for (None: for information).
    `exact=False`: its answer may differ (`note` says why); the report then says by how many matches.
    `work` counts its units of work when they are not the row's.
    """

    name: str
    run: Callable[[], Any]
    goal: float | None = None
    exact: bool = True
    note: str = ""
    work: int | None = None


class MissingError(Exception):
    """A rival that cannot run here, and why."""


class SlowError(Exception):
    """A rival's run was ended because it took longer than RIVAL_LIMIT_S."""


class Rival:
    """A file of benchmarks/rivals in a process of its own; `run()` lets it run once and gives a Timed.

    A run that takes longer than RIVAL_LIMIT_S ends the process and raises SlowError.
    """

    def __init__(self, module: str, events: int, columns: Sequence[str], folder: Path) -> None:
        found: list[str] = []
        for python in (Path(sys.executable), RIVALS_PYTHON):
            if not python.exists():
                continue
            self._child = subprocess.Popen(
                [
                    str(python),
                    "-m",
                    "benchmarks.rival_host",
                    module,
                    str(events),
                    ",".join(columns),
                    str(folder),
                ],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            hello = self._line()
            if "name" in hello:
                self.name = hello["name"]
                return
            found.append(hello["missing"])
            self.close()
        raise MissingError(f"not installed: {found[-1]} (python -m benchmarks installs the rivals)")

    def _line(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"a rival's process ended (exit {self._child.wait()}): see its words above")
        return json.loads(line)

    def run(self) -> Timed:
        assert self._child.stdin is not None
        self._child.stdin.write("run\n")
        self._child.stdin.flush()
        # One line answers one line, so none can wait in the pipe's buffer where select does not see it.
        if not select.select([self._child.stdout], [], [], RIVAL_LIMIT_S)[0]:
            self._child.kill()
            raise SlowError(f"more than {RIVAL_LIMIT_S} s for one run")
        said = self._line()
        return Timed(said["seconds"], tuple(said["checksum"]), said["detail"])

    def close(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


class Race:
    """The `race` fixture's value; one call makes one row."""

    def __init__(self, benchmark: Any, events: int, references_only: bool, folder: Path) -> None:
        self.benchmark = benchmark
        self.events = events
        self.references_only = references_only
        self.folder = folder

    def __call__(
        self,
        row: str,
        subject: Callable[[], Any],
        references: Sequence[Reference],
        *,
        columns: Sequence[str],
        rivals: dict[str, dict[str, Any]] | None = None,
        judge: Callable[[], Any] | None = None,
        itself: Sequence[Reference] = (),
        work: int | None = None,
        unit: str = "M events/s",
        rounds: int = ROUNDS,
    ) -> None:
        """Run one row.

        `references` run in this process, `rivals` in theirs (module name -> arguments of Reference;
        they also take `events`, the size of their input); `itself` are tocsin's own runs (left out, like
        `subject`, with --references-only). `judge` gives the answer all are held to (the first reference's
        when there is none). `work` counts the units of work (the events of the run when it is not given).

        Raises AssertionError when an answer that must be exact is not.
        """
        work = self.events if work is None else work
        if self.references_only and not references and not rivals:
            pytest.skip("has no reference but tocsin itself")
        judged = summed(measured(judge if judge else references[0].run), columns)
        runners = [*references, *([] if self.references_only else itself)]
        processes: list[Rival] = []
        absent: list[dict[str, str]] = []
        try:
            for module, arguments in (rivals or {}).items():
                try:
                    options = dict(arguments)
                    rival = Rival(module, options.pop("events", work), columns, self.folder)
                except MissingError as missing:
                    absent.append({"name": module, "note": str(missing)})
                    continue
                processes.append(rival)
                runners.append(Reference(rival.name, rival.run, **options))
            said: dict[str, dict[str, Any]] = {}

            def attempt(runner: Reference) -> Timed | None:
                try:
                    return measured(runner.run)
                except SlowError as slow:  # out of the race, and the table says why
                    absent.append({"name": runner.name, "note": str(slow)})
                    runners.remove(runner)
                    said.pop(runner.name, None)
                    return None

            for runner in runners.copy():
                timed = attempt(runner)
                if timed is None:
                    continue
                rows, total = summed(timed, columns)
                if runner.exact:
                    assert (rows, total) == judged, f"{row}: {runner.name} says {(rows, total)}, not {judged}"
                said[runner.name] = {
                    "name": runner.name,
                    "goal": runner.goal,
                    "note": runner.note,
                    "seconds": [],
                    "detail": {},
                    "work": runner.work or work,
                    "matches": rows,
                    "exact": runner.exact,
                }
            own: list[Timed] = []

            def turn() -> None:
                for runner in runners.copy():
                    timed = attempt(runner)
                    if timed is None:
                        continue
                    said[runner.name]["seconds"].append(timed.seconds)
                    said[runner.name]["detail"] = timed.detail

            def run() -> None:
                own.append(measured(subject))

            if self.references_only:
                self.benchmark.pedantic(turn, rounds=rounds, iterations=1)
            else:
                answer = summed(measured(subject), columns)
                assert answer == judged, f"{row}: tocsin answers {answer}, the reference {judged}"
                self.benchmark.pedantic(run, setup=turn, rounds=rounds, iterations=1)
        finally:
            for rival in processes:
                rival.close()
        self.benchmark.extra_info.update(
            row=row,
            unit=unit,
            work=work,
            matches=judged[0],
            references=list(said.values()),
            absent=absent,
            load=os.getloadavg()[0],
            cores=os.cpu_count(),
            seconds=[timed.seconds for timed in own],
            detail=own[-1].detail if own else {},
            median=median([timed.seconds for timed in own]) if own else None,
        )
