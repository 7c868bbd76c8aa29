"""How far the handlers of one trigger have come, in a file that costs no system call to write.

    matches/<trigger>/handled     two records of 16 bytes, the older of which is written next

    record    0  value     int64    all matches below this number have been handled
              8  sum       uint32   CRC-32 of `value`; 4 bytes of zero

The file is mapped: what is written survives the end of the process, kill -9 included, and is on the device when the
system likes. That is enough: after a power failure it may say too little, and then matches are handed over again, as
"at least once" has it; it may say too much only if the match log lost its end, and is then cut to that (resume.py).
A damaged record counts as none; with both damaged the checkpoint's own note takes its place.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path

FILE = "handled"
_VALUE = struct.Struct("<q")
_RECORD = struct.Struct("<qII")
_BYTES = 2 * _RECORD.size


class HandledMark:
    """The mark of one trigger: `value`, and `set`. One thread at a time. OSError where the file cannot be had."""

    def __init__(self, folder: Path) -> None:
        fd = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            self.damaged = False
            if os.fstat(fd).st_size != _BYTES:
                self.damaged = os.fstat(fd).st_size > 0
                os.ftruncate(fd, _BYTES)
            self._map = mmap.mmap(fd, _BYTES)
        finally:
            os.close(fd)
        found = [self._read(place) for place in (0, 1)]
        self.value: int | None = max((value for value in found if value is not None), default=None)
        self._place = 1 if found[0] is not None and found[0] == self.value else 0

    def _read(self, place: int) -> int | None:
        record = self._map[place * _RECORD.size : (place + 1) * _RECORD.size]
        value, total, zero = _RECORD.unpack(record)
        if zero == 0 and value >= 0 and total == zlib.crc32(_VALUE.pack(value)):
            return int(value)
        self.damaged = self.damaged or record != bytes(_RECORD.size)  # else it was never written
        return None

    def set(self, value: int) -> None:
        """From now on `value` holds."""
        self.value = value
        if self._map.closed:
            return  # a handler that hung came to its end when the engine had ended
        record = _RECORD.pack(value, zlib.crc32(_VALUE.pack(value)), 0)
        self._map[self._place * _RECORD.size : (self._place + 1) * _RECORD.size] = record
        self._place ^= 1

    def close(self) -> None:
        """Let the file go."""
        self._map.close()
