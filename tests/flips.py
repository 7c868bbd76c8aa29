"""A program: bits flipped anywhere in a store are told with their place or cost nothing; none gives a wrong row.

    python tests/flips.py [NUMBER] [--seed 0] [--jobs 2]

Flip i of a seed is always the same. A fresh copy of a store (store_work.py) is damaged in one file, whichever files
there are: mostly one bit, sometimes several, now and then a run of bytes. It is then read by a reader, opened and read
by a writer, and an Engine with the same triggers goes on with it. After each step what came is compared with the
undamaged store's, row by row: rows may only be missing where damage was told (StoreError, `recovered`, `damaged()`).

The work is done in processes of their own, each of which says what it begins; so a crash or a hang is seen, counted
and named like any other fault. Exit code 0: none. The table at the end says what became of the flips, by kind of file.
tests/test_storage_flips.py runs some hundred.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import store_work
import tocsin as tc

HANG_SECONDS = 120  # a flip takes some hundredths of a second, on a busy machine some tenths
RUN_BYTES = 64


def damage(store: Path, seed: int, number: int) -> tuple[str, str]:
    """Flips bits of one file; (the file, what was done to it)."""
    dice = random.Random(f"{seed} {number}")
    files = sorted(path for path in store.rglob("*") if path.is_file())
    # By turns any file, and any byte: a long file has more of what can go wrong, short ones are many.
    weights = [1 if number % 2 else path.stat().st_size for path in files]
    path = dice.choices(files, weights)[0]
    data = bytearray(path.read_bytes())
    if not data:
        data.append(0)  # LOCK, when nobody holds it
    kind = dice.choices(["a bit", "bits", "a run of bytes"], [8, 1, 1])[0]
    if kind == "a run of bytes":
        at = dice.randrange(len(data))
        run = dice.randrange(1, RUN_BYTES)
        what = f"{kind} at {at}"
        data[at : at + run] = dice.randbytes(len(data[at : at + run]))
    else:
        places = [
            dice.randrange(8 * len(data)) for _ in range(1 if kind == "a bit" else dice.randrange(2, 9))
        ]
        what = f"{kind} at {[place / 8 for place in places]}"
        for place in places:
            data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)
    return str(path.relative_to(store)), what


class Judge:
    """What an undamaged store gives, and what a damaged copy of it gives instead."""

    def __init__(self, whole: Path, folder: Path) -> None:
        self.whole, self.copy = whole, folder / "copy"
        self.before = self.read(fresh=True, read_only=True)
        self.after = {}
        for workers in (0, 1):
            self.renew()
            store_work.go_on(self.copy, workers)
            self.after[workers] = self.read(fresh=False, read_only=False)

    def renew(self) -> None:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.whole, self.copy)

    def read(self, *, fresh: bool, read_only: bool) -> store_work.Found:
        if fresh:
            self.renew()
        with tc.Store(self.copy, read_only=read_only) as store:
            return store_work.read_all(store)

    def has_place(self, told: list[str]) -> None:
        # A Parquet file is named as the store knows it, by its place and its path from there.
        placed = (str(self.copy), "' in './cold'")
        assert all(any(place in words for place in placed) for words in told), f"no place: {told}"

    def judge(self, number: int) -> str:
        """What became of the damage; an exception, if it is what must not be."""
        verdict = "harmless"
        for read_only in (True, False):
            try:
                found = self.read(fresh=False, read_only=read_only)
            except tc.StoreError as refused:
                self.has_place([str(refused)])
                return "refused"
            store_work.compare(found, self.before)
            if found.told:
                self.has_place(found.told)
                verdict = "told"
            elif found.noted and verdict == "harmless":
                verdict = "mended"
        workers = number % 2
        try:
            store_work.go_on(self.copy, workers)
        except tc.StoreError:
            return "told" if verdict == "told" else "told by the engine"
        found = self.read(fresh=False, read_only=False)
        if verdict != "told":
            store_work.compare(found, self.after[workers], again="dead_letters/")
        return verdict


def work(whole: str, seed: str, first: str, stop: str, step: str) -> None:
    """A process's part: one line before each flip, one after it."""
    logging.getLogger("tocsin").setLevel(logging.CRITICAL + 1)
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(Path(whole), Path(folder))
        for number in range(int(first), int(stop), int(step)):
            judge.renew()
            file, what = damage(judge.copy, int(seed), number)
            print(json.dumps({"begun": number, "file": file, "what": what}), flush=True)
            try:
                said = {"verdict": judge.judge(number)}
            except Exception as fault:
                said = {"fault": f"{type(fault).__name__}: {fault}"}
            print(json.dumps({"done": number, **said}), flush=True)


class Tally:
    """What became of the flips."""

    def __init__(self) -> None:
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.faults: list[str] = []

    def add(self, begun: dict, verdict: str) -> None:
        self.verdicts[kind_of(begun["file"]), verdict] += 1

    def fault(self, begun: dict, why: str) -> None:
        self.add(begun, "FAULT")
        self.faults.append(f"flip {begun['begun']} ({begun['file']}, {begun['what']}): {why}")

    def table(self) -> str:
        verdicts = sorted({verdict for _, verdict in self.verdicts})
        kinds = sorted({kind for kind, _ in self.verdicts})
        lines = [f"{'':36}" + "".join(f"{verdict:>20}" for verdict in verdicts)]
        lines += [
            f"{kind:36}" + "".join(f"{self.verdicts[kind, verdict]:20}" for verdict in verdicts)
            for kind in kinds
        ]
        totals = [sum(self.verdicts[kind, verdict] for kind in kinds) for verdict in verdicts]
        return "\n".join([*lines, f"{'all':36}" + "".join(f"{total:20}" for total in totals)])


def kind_of(file: str) -> str:
    """A file's place, without the names of streams and segments."""
    parts = Path(file).parts
    name = Path(parts[-1])
    name = f"*{name.suffix}" if name.stem[:4].isdigit() else name.name
    folder = parts[0] if len(parts) > 1 else ""
    return f"{folder}/{name}" if folder else str(name)


def follow(whole: Path, seed: int, first: int, stop: int, step: int, tally: Tally) -> None:
    """Let processes do the flips first, first + step …; one that dies is followed by the next."""
    while first < stop:
        begun: dict | None = None
        command = [sys.executable, __file__, "--work", str(whole), *map(str, (seed, first, stop, step))]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        pending = b""
        hung = False
        while True:
            if not select.select([child.stdout], [], [], HANG_SECONDS)[0]:
                hung = True
                child.kill()
                break
            block = os.read(child.stdout.fileno(), 65536)
            if not block:
                break
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if "begun" in said:
                    begun = said
                    continue
                assert begun is not None
                if "verdict" in said:
                    tally.add(begun, said["verdict"])
                else:
                    tally.fault(begun, said["fault"])
                first, begun = begun["begun"] + step, None
        child.stdout.close()
        code = child.wait()
        if begun is None and first < stop:
            raise RuntimeError(f"a process ended with {code} and had begun nothing: see its words above")
        if begun is not None:
            tally.fault(begun, f"hangs for {HANG_SECONDS} s" if hung else f"the process ended with {code}")
            first = begun["begun"] + step


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--work"]:
        work(*arguments[1:])
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("number", nargs="?", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        whole = Path(folder) / "whole"
        store_work.make_store(whole)
        threads = stack.enter_context(ThreadPoolExecutor(options.jobs))
        parts = [
            threads.submit(follow, whole, options.seed, job, options.number, options.jobs, tally)
            for job in range(options.jobs)
        ]
        for part in parts:
            part.result()
    print(tally.table())
    print(*tally.faults, sep="\n")
    print(f"{sum(tally.verdicts.values())} flips of seed {options.seed}, {len(tally.faults)} faults")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
