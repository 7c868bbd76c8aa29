"""tocsin.json: what makes a directory a store of ours.

    {"format": "tocsin store", "version": 2}

A directory without it is a new store if it is empty (or holds only what a crash while making a store can
leave), and somebody else's if it is not. Nothing is written before that is settled. The version changes when
an older tocsin would misread the store. Version 1 had no ids in its match logs and no checkpoints: it opens, and
becomes version 2 when it is opened for writing (a match log of then is refused by name when its trigger is set).
Every other version is refused by name.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tocsin.errors import StoreError

from .files import make_folder, replace_file, store_error
from .lock import StoreLock

FORMAT, VERSION = "tocsin store", 2
OPENS = (1, 2)
_MANIFEST = "tocsin.json"
_OURS_BEFORE_MANIFEST = {"LOCK", _MANIFEST + ".tmp"}


def check_directory(path: Path, read_only: bool) -> bool:
    """Refuse what is not a store; whether it is one still to be made. Touches nothing."""
    try:
        names = set(os.listdir(path))
    except FileNotFoundError:
        names = set()
        if read_only:
            raise StoreError(f"there is no store {str(path)!r} to read") from None
    except NotADirectoryError as cause:
        raise StoreError(f"{str(path)!r} is a file, not a tocsin store; choose another path") from cause
    except OSError as cause:
        raise store_error("cannot open the store", path, cause) from cause
    if _MANIFEST not in names:
        foreign = sorted(names - _OURS_BEFORE_MANIFEST)
        if foreign or read_only:
            why = f"it has {foreign[0]!r} and no {_MANIFEST}" if foreign else f"it has no {_MANIFEST}"
            raise StoreError(f"{str(path)!r} is not a tocsin store ({why}); it was left untouched")
        return True
    _check_manifest(path)
    return False


def _check_manifest(path: Path) -> None:
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
    except OSError as cause:
        raise store_error("cannot read", path / _MANIFEST, cause) from cause
    except ValueError:
        manifest = None
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != FORMAT
        or type(manifest.get("version")) is not int
    ):
        raise StoreError(
            f"{str(path / _MANIFEST)!r} does not say that this is a tocsin store, or it is damaged "
            f'(expected {{"format": "{FORMAT}", "version": {VERSION}}}); it was left untouched'
        )
    if manifest["version"] not in OPENS:
        raise StoreError(
            f"the store {str(path)!r} has format version {manifest['version']}, "
            f"this tocsin knows version {VERSION}; "
            "open it with a tocsin that knows it; it was left untouched"
        )


def claim(path: Path, fresh: bool) -> StoreLock:
    """Take the lock, making the directory and its manifest if it is a new store."""
    if fresh:
        try:
            make_folder(path)
        except OSError as cause:
            raise store_error("cannot make the store", path, cause) from cause
    lock = StoreLock(path)
    try:
        if (
            not (path / _MANIFEST).exists()
            or json.loads((path / _MANIFEST).read_bytes())["version"] != VERSION
        ):
            manifest = json.dumps({"format": FORMAT, "version": VERSION})
            replace_file(path / _MANIFEST, [manifest.encode() + b"\n"])
    except OSError as cause:
        lock.release()
        raise store_error("cannot make the store", path, cause) from cause
    return lock
