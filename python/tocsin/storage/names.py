"""A stream's name as the name of a folder.

Any text of 1 to 200 encoded bytes can name a stream. ASCII letters, digits, `_` and `-` stand for themselves,
every other byte of its UTF-8 form becomes `%XX`: no name can climb out of the store (`..`, `/`), hide (`.x`)
or meet a character that some file system refuses. Names Windows reserves for devices (`con`, `nul`, ...) get
their first letter encoded. Two streams may not differ by case alone, as Windows and macOS would give them one
folder; the log folder checks that. The encoding can be undone, and only the one encoded form of a name is
taken for a stream.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from tocsin.errors import StoreError

NAME_BYTES_MAX = 200
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def encode_name(name: object) -> str:
    """The folder's name for a stream.

    >>> encode_name("trades"), encode_name("../a b"), encode_name("nul")
    ('trades', '%2E%2E%2Fa%20b', '%6Eul')
    """
    if not isinstance(name, str) or not name:
        raise StoreError(f"a stream's name must be a text of at least one character, not {name!r}")
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise StoreError(f"the stream name {name!r} has a lone surrogate; use valid Unicode") from None
    encoded = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)
    if _DEVICE.fullmatch(encoded):
        encoded = f"%{raw[0]:02X}{encoded[1:]}"
    if len(encoded) > NAME_BYTES_MAX:
        raise StoreError(
            f"the stream name {name[:40]!r}... takes {len(encoded)} bytes as a folder's name; "
            f"{NAME_BYTES_MAX} are allowed, choose a shorter one"
        )
    return encoded


def decode_name(folder: str) -> str | None:
    """The stream whose folder this is, or None for a folder that is not ours."""
    try:
        name = unquote_to_bytes(folder).decode()
        return name if encode_name(name) == folder else None
    except (UnicodeDecodeError, StoreError):
        return None
