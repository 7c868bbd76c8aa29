"""Where tiered events may lie: a folder in any file system that pyarrow knows, as a text that can be kept.

    "/mnt/cold", "cold"      a local folder; one inside the store's directory is kept relative to it, and moves along
    "s3://bucket/folder"     a URI that pyarrow.fs.FileSystem.from_uri takes
    "cold://folder"          in the file system that `Store(filesystems={"cold": ...})` was given under this name

Only the text goes to disk. A file system that needs options or secrets is therefore given by name, at every opening;
a URI with a password in it is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from tocsin.errors import StoreError

from .files import sync_file, sync_folder

_HERE = "./"
_NAME = re.compile(r"[A-Za-z0-9-]+")
_WHOLE_AT_ONCE = ("s3", "gcs", "abfs")  # an object is there, whole, once its stream was closed, or not at all


class Place(NamedTuple):
    """A folder in a file system."""

    filesystem: Any
    folder: str

    def at(self, path: str) -> str:
        """A path below it, as its file system wants it."""
        return f"{self.folder.rstrip('/')}/{path}" if self.folder else path

    def write(self, path: str, data: pa.Buffer) -> None:
        """Have a whole new file there, on the device where that is ours to say, or none."""
        target = self.at(path)
        direct = getattr(self.filesystem, "type_name", "") in _WHOLE_AT_ONCE
        aside = target if direct else target + ".tmp"
        self.filesystem.create_dir(target.rpartition("/")[0], recursive=True)
        with self.filesystem.open_output_stream(aside) as stream:
            stream.write(data)
        if not direct:
            self._sync(aside)
            self.filesystem.move(aside, target)
            folder = target
            for _ in range(path.count("/") + 2):  # those that were made for it, and the one that they are in
                folder = folder.rpartition("/")[0]
                self._sync(folder)

    def remove(self, path: str) -> None:
        """Take a file away, and what a broken `write` may have left of it; one that is not there is none."""
        import pyarrow.fs as pafs

        for target in (self.at(path), self.at(path) + ".tmp"):
            if self.filesystem.get_file_info(target).type != pafs.FileType.NotFound:
                self.filesystem.delete_file(target)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        import pyarrow.fs as pafs

        return self.filesystem.get_file_info(self.at(path)).type != pafs.FileType.NotFound

    def _sync(self, path: str) -> None:
        local = local_path(self.filesystem, path)
        if local is None or not path:
            return
        if local.is_dir():
            sync_folder(local)
        else:
            fd = os.open(local, os.O_RDWR | getattr(os, "O_BINARY", 0))
            try:
                sync_file(fd)
            finally:
                os.close(fd)


def local_path(filesystem: Any, path: str) -> Path | None:
    """Where this is on the local disk, if it is."""
    import pyarrow.fs as pafs

    while isinstance(filesystem, pafs.SubTreeFileSystem):
        path = filesystem.base_path.rstrip("/") + "/" + path.lstrip("/")
        filesystem = filesystem.base_fs
    return Path(path) if isinstance(filesystem, pafs.LocalFileSystem) else None


class Places:
    """Turns what a user gives into a text that can be kept, and that into a `Place`.

    Args:
        base: the store's directory.
        filesystems: by name; a pyarrow.fs.FileSystem, or one of fsspec's.
    """

    def __init__(self, base: Path, filesystems: Mapping[str, Any] | None = None) -> None:
        self._base = Path(os.path.abspath(base))
        self._named = dict(filesystems or {})
        for name in self._named:
            if not _NAME.fullmatch(str(name)):
                raise StoreError(f"filesystems={{{name!r}: ...}}: a name has letters, digits and hyphens")

    def text_of(self, to: Any) -> str:
        """The text to keep for what a user gave as `to=`. Raises StoreError where there is none."""
        if isinstance(to, os.PathLike):
            to = os.fspath(to)
        if not isinstance(to, str):
            return self._text_of_filesystem(to)
        if "://" in to:
            scheme, _, rest = to.partition("://")
            if scheme in self._named:
                return to
            if scheme == "file":
                return self.text_of(rest)
            if urlsplit(to).password or "secret" in urlsplit(to).query.lower():
                raise StoreError(
                    f"to={scheme}://...: the URI has a password or secret, which would be written to disk; "
                    'give the file system by name, Store(..., filesystems={"cold": ...}), and to="cold://folder"'
                )
            self.open(to)
            return to
        if not to:
            raise StoreError('to="": give a folder, a URI, or "name://folder" with Store(filesystems=)')
        path = Path(os.path.abspath(to))
        if path.is_relative_to(self._base):
            return _HERE + path.relative_to(self._base).as_posix()
        return path.as_posix()

    def open(self, text: str) -> Place:
        """The folder that the text means. Raises StoreError: nobody knows that file system."""
        import pyarrow.fs as pafs

        scheme, found, rest = text.partition("://")
        if not found:
            path = self._base / text if text.startswith(_HERE) else Path(text)
            return Place(pafs.LocalFileSystem(), path.as_posix())
        if scheme in self._named:
            return Place(_as_filesystem(scheme, self._named[scheme]), rest.rstrip("/"))
        try:
            filesystem, folder = pafs.FileSystem.from_uri(text)
        except (pa.ArrowException, ValueError, OSError) as cause:
            raise StoreError(
                f"{text!r} is in no file system that pyarrow knows, nor in one of {sorted(self._named)}; open the "
                f'store with filesystems={{"{scheme}": ...}}: {cause}'
            ) from cause
        return Place(filesystem, folder.rstrip("/"))

    def _text_of_filesystem(self, to: Any) -> str:
        import pyarrow.fs as pafs

        for name, known in self._named.items():
            if known is to or _equal(_as_filesystem(name, known), to):
                return f"{name}://"
        if isinstance(to, pafs.FileSystem):
            local = local_path(to, "")
            if local is not None and local != Path():
                return self.text_of(str(local))
        raise StoreError(
            f"to={to!r}: give a folder, a URI, or a file system that has a name, by which the store finds it again: "
            'Store(..., filesystems={"cold": ...}) and to="cold://folder"'
        )


def _equal(known: Any, given: Any) -> bool:
    import pyarrow.fs as pafs

    return bool(isinstance(given, pafs.FileSystem) and known.equals(given))


def _as_filesystem(name: str, given: Any) -> Any:
    import pyarrow.fs as pafs

    if isinstance(given, pafs.FileSystem):
        return given
    if hasattr(given, "open") and hasattr(given, "protocol"):  # fsspec's
        return pafs.PyFileSystem(pafs.FSSpecHandler(given))
    raise StoreError(
        f"filesystems={{{name!r}: ...}}: give a pyarrow.fs.FileSystem or one of fsspec, not {given!r}"
    )
