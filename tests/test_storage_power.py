"""A power failure: of each file only what was synced is there for certain, of each folder only the names that were.

`Disk` follows fsync and fdatasync, as POSIX has them: a file's content is safe as it was at its last fsync, and a name
(made or renamed) when its folder was synced afterwards. All else may be there or not: a tail, in part or as zeros; a
name. After any operation the directory that such a failure could leave is built, and opened.
"""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pyarrow as pa
import pytest

import tocsin as tc

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="reads files by descriptor as Linux lets it"
)
SCHEMA = pa.schema([("x", pa.int64()), ("word", pa.string())])


class Disk:
    """What is safe below `base`, whose own name is."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = base
        self.contents: dict[int, bytes] = {}  # inode -> as it was when the file was last synced
        self.names: dict[
            int, dict[str, tuple[int, bool]]
        ] = {}  # of a folder: name -> inode, whether it is a folder
        for name in ("fsync", "fdatasync"):
            self._follow(monkeypatch, name)

    def _follow(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        def sync(
            fd: int,
        ) -> None:  # nothing is really synced: whether the device does it is not what is asked here
            known = os.fstat(fd)
            if stat.S_ISDIR(known.st_mode):
                self.names[known.st_ino] = look(f"/proc/self/fd/{fd}")
            else:
                self.contents[known.st_ino] = Path(f"/proc/self/fd/{fd}").read_bytes()

        monkeypatch.setattr(os, name, sync)

    def fail(self, to: Path, dice: random.Random) -> None:
        """What a power failure now leaves of `base`, put to `to`."""
        self._leave(self.base, os.stat(self.base).st_ino, to, dice)

    def _leave(self, now: Path, inode: int, to: Path, dice: random.Random) -> None:
        to.mkdir()
        safe = self.names.get(inode, {})
        there = look(now) if now.is_dir() and os.stat(now).st_ino == inode else {}
        for name in sorted(safe.keys() | there.keys()):
            entry = safe.get(name)
            if name in there and (entry is None or entry != there[name]) and dice.random() < 0.5:
                entry = there[name]
            if entry is None:
                continue
            child, is_folder = entry
            if is_folder:
                self._leave(now / name, child, to / name, dice)
            else:
                (to / name).write_bytes(self._content(now / name, child, dice))

    def _content(self, now: Path, inode: int, dice: random.Random) -> bytes:
        safe = self.contents.get(inode, b"")
        if not now.exists() or os.stat(now).st_ino != inode:
            return safe
        tail = now.read_bytes()[len(safe) :]
        kept = tail[: dice.randrange(len(tail) + 1)]
        return safe + dice.choice([b"", tail, kept, kept + bytes(len(tail) - len(kept))])


def look(folder: str | Path) -> dict[str, tuple[int, bool]]:
    with os.scandir(folder) as entries:
        return {entry.name: (entry.inode(), entry.is_dir()) for entry in entries}


def rows(first: int, count: int) -> dict[str, list]:
    return {"x": list(range(first, first + count)), "word": [f"word {n}" * (n % 4) for n in range(count)]}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("durability", ["commit", "interval", "none"])
def test_what_was_acknowledged_as_durable_survives(tmp_path, monkeypatch, durability, seed):
    base = tmp_path / "base"
    base.mkdir()
    disk, dice = Disk(base, monkeypatch), random.Random(seed)
    stored: dict[str, int] = {}  # how many rows were acknowledged as durable
    written: dict[str, int] = {}
    failures = 0

    def maybe_fail() -> None:
        nonlocal failures
        if dice.random() > 0.5:
            return
        failures += 1
        left = tmp_path / f"left {failures}"
        disk.fail(left, dice)
        if not stored:
            return  # not even its manifest need be there
        with tc.Store(left / "deep" / "s") as store:
            assert not store.damaged(), store.damaged()
            for name, count in stored.items():
                folder = store.matches if name == "m" else store
                got = folder.scan(name).read_all()["x"].to_pylist()
                assert len(got) >= count, f"{name}: {len(got)} rows of {count} survived"
                assert got == list(range(len(got)))
                assert len(got) <= written[name]

    for session in range(3):
        store = tc.Store(base / "deep" / "s", durability=durability, segment_bytes=4000, interval_ms=5000)
        for name in ("a", "b", "m"):
            folder = store.matches if name == "m" else store
            folder.create_stream(name, SCHEMA, lookup=["x"] if name == "a" else None)
            stored.setdefault(name, 0)
            written.setdefault(name, 0)
            maybe_fail()
        for _ in range(12):
            name, count = dice.choice("abm"), dice.choice([1, 20, 90])
            (store.matches if name == "m" else store).append(name, rows(written[name], count))
            written[name] += count
            if durability == "commit":
                stored[name] = written[name]
            elif dice.random() < 0.2:
                store.sync()
                stored = written.copy()
            maybe_fail()
        if session < 2:
            store.close()
            stored = written.copy()
            maybe_fail()
    store.close()
    assert failures > 10
