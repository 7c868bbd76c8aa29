"""How a store's logs are written; the same for all logs of a store, and free to differ from one opening to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from tocsin.errors import StoreError

Durability = Literal["commit", "interval", "none"]
Compression = Literal["lz4", "zstd"]


@dataclass(frozen=True, slots=True)
class LogOptions:
    """See `Store`. Raises StoreError for an option that is wrong, or a codec that this pyarrow does not have."""

    durability: Durability = "interval"
    segment_bytes: int = 128 << 20
    segment_seconds: float | None = None
    compression: Compression | None = None

    def __post_init__(self) -> None:
        if self.durability not in ("commit", "interval", "none"):
            raise StoreError(f'durability must be "commit", "interval" or "none", not {self.durability!r}')
        if not self.segment_bytes > 0:
            raise StoreError(f"segment_bytes={self.segment_bytes!r} must be positive")
        if self.segment_seconds is not None and not self.segment_seconds > 0:
            raise StoreError(f"segment_seconds={self.segment_seconds!r} must be positive, or None")
        if self.compression not in (None, "lz4", "zstd"):
            raise StoreError(f'compression must be None, "lz4" or "zstd", not {self.compression!r}')
        if self.compression is not None and not pa.Codec.is_available(self.compression):
            raise StoreError(f"compression={self.compression!r}: this pyarrow was built without it")

    @property
    def ipc(self) -> pa.ipc.IpcWriteOptions | None:
        """For the writer of a batch; None: as it is."""
        return None if self.compression is None else pa.ipc.IpcWriteOptions(compression=self.compression)
