"""A batch as bytes: ordinary Arrow IPC messages, each with a 64-byte record of ours inside its padding.

An encapsulated IPC message is `FFFFFFFF, size, metadata, body`; `size` covers the metadata flatbuffer *and
its padding*, which readers skip. We put our record there, so that a segment stays an Arrow IPC stream for
everybody while one write per batch carries data, checksum, sequence and time range together: no second file
has to be kept in step, and one fsync makes all of it durable.

    0        4        8                8+m                8+m+64                8+m+64+body
    |FFFFFFFF| m+64   | flatbuffer (m) | record (64)      | body                |

    record, little-endian:
      0  magic       8 bytes   "tocsin" 01 0A
      8  kind        1 byte    S schema, D dictionary, B record batch; 3 bytes of zero
     12  metadata    uint32    m
     16  body        uint64    size of the body in bytes
     24  sequence    uint64    of the batch's first event (S: of the segment's)
     32  rows        uint64    of the batch (S, D: 0)
     40  time_min    int64     smallest and largest value of the time column, nulls aside;
     48  time_max    int64     min > max: no time column, or no value in it
     56  body_sum    uint32    checksum.body_checksum(body)
     60  head_sum    uint32    CRC-32 of everything before it: prefix, flatbuffer, record

A *frame* is what one batch takes: its dictionaries (messages D, all of them in every frame, so that each
frame can be read by itself) and then its record batch (B). A frame counts only when its B is whole.

Two sums, because a damaged body must not hide what follows: with a good head the way to the next frame is
known.

Invariants: every size read from a file is checked against head_sum before it is used, and pyarrow gets to see
only bytes whose sums are right. Cost per frame: one serialisation (a copy), one checksum, no work per row.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import pyarrow as pa

from .checksum import body_checksum
from .files import Piece
from .lookup import Entry

MAGIC = b"tocsin\x01\n"
PREFIX_BYTES = 8
RECORD_BYTES = 64
CONTINUATION = b"\xff\xff\xff\xff"
END_OF_STREAM = CONTINUATION + b"\0\0\0\0"
SCHEMA, DICTIONARY, BATCH = b"S", b"D", b"B"
NO_TIMES = (1, 0)
# Flatbuffer metadata is some hundred bytes per column; a size beyond this is damage, not a wide schema.
METADATA_BYTES_MAX = 64 << 20

_RECORD = struct.Struct("<8sc3xIQQQqqI")  # the 60 bytes before head_sum
_U32 = struct.Struct("<I")


class Head(NamedTuple):
    """What the head of one message says, once its sum was found right. Sizes in bytes."""

    kind: bytes
    metadata: int
    body: int
    sequence: int
    rows: int
    time_min: int
    time_max: int
    body_sum: int
    head_sum: int

    @property
    def body_offset(self) -> int:
        """Where the body begins, from the start of the message."""
        return PREFIX_BYTES + self.metadata + RECORD_BYTES

    @property
    def size(self) -> int:
        """The whole message."""
        return PREFIX_BYTES + self.metadata + RECORD_BYTES + self.body


class Message(NamedTuple):
    """One message before it has a place: what can be prepared outside the log's lock."""

    kind: bytes
    metadata: Piece
    body: Piece
    body_sum: int


class Frame(NamedTuple):
    """One batch, serialised; `pieces` adds what depends on its place in the stream."""

    messages: tuple[Message, ...]
    rows: int
    time_range: tuple[int, int]
    size: int  # bytes
    lookup: tuple[Entry, ...] = ()  # of its look-up columns (lookup.py)

    def pieces(self, sequence: int) -> list[Piece]:
        """The bytes to write when the batch's first event gets this sequence."""
        pieces: list[Piece] = []
        for message in self.messages:
            rows, times = (self.rows, self.time_range) if message.kind == BATCH else (0, NO_TIMES)
            pieces += _message_pieces(message, sequence, rows, times)
        return pieces


def encode_batch(
    batch: pa.RecordBatch,
    time_range: tuple[int, int],
    *,
    has_dictionaries: bool,
    options: pa.ipc.IpcWriteOptions | None = None,
) -> Frame:
    """Serialise one batch, once; buffers of sliced columns are trimmed by pyarrow on the way.

    options: say how bodies are compressed; None: not at all.
    """
    if has_dictionaries or options is not None:
        # A writer of its own for every batch: it writes all dictionaries, not only the changed ones.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        messages = tuple(
            _message(BATCH if message.type == "record batch" else DICTIONARY, message.metadata, message.body)
            for message in pa.ipc.MessageReader.open_stream(sink.getvalue())
            if message.type != "schema"
        )
    else:
        whole = memoryview(batch.serialize())
        end = PREFIX_BYTES + _U32.unpack_from(whole, 4)[0]
        body = whole[end:]
        messages = (Message(BATCH, whole[PREFIX_BYTES:end], body, body_checksum(body)),)
    size = sum(PREFIX_BYTES + len(m.metadata) + RECORD_BYTES + len(m.body) for m in messages)
    return Frame(messages, batch.num_rows, time_range, size)


def encode_schema(schema: pa.Schema, sequence: int) -> bytes:
    """The schema message with which a segment begins (its first event has this sequence)."""
    (message,) = pa.ipc.MessageReader.open_stream(schema.serialize())
    return b"".join(_message_pieces(_message(SCHEMA, message.metadata, None), sequence, 0, NO_TIMES))


def parse_head(block: Piece) -> Head | None:
    """The head at the start of the block (which must hold all of it), or None where it is damaged."""
    view = memoryview(block)
    if len(view) < PREFIX_BYTES + RECORD_BYTES or view[:4] != CONTINUATION:
        return None
    metadata = _U32.unpack_from(view, 4)[0] - RECORD_BYTES
    record = PREFIX_BYTES + metadata
    if not 0 <= metadata <= METADATA_BYTES_MAX or len(view) < record + RECORD_BYTES:
        return None
    magic, kind, said, body, sequence, rows, low, high, body_sum = _RECORD.unpack_from(view, record)
    head_sum = _U32.unpack_from(view, record + _RECORD.size)[0]
    if magic != MAGIC or said != metadata or zlib.crc32(view[: record + _RECORD.size]) != head_sum:
        return None
    return Head(kind, metadata, body, sequence, rows, low, high, body_sum, head_sum)


def metadata_size(record: Piece) -> int | None:
    """The flatbuffer's size as a record (64 bytes, not yet verified) tells it: where its head begins."""
    magic, _, metadata, *_ = _RECORD.unpack_from(record)
    return metadata if magic == MAGIC and metadata <= METADATA_BYTES_MAX else None


def decode_schema(block: bytes) -> pa.Schema | None:
    """The schema of a schema message, or None where it is damaged or cut short."""
    head = parse_head(block)
    if head is None or head.kind != SCHEMA:
        return None
    return pa.ipc.read_schema(pa.py_buffer(block[: head.size]))


def decode_frame(
    frame: pa.Buffer, schema: pa.Schema, sequence: int, rows: int, verify: bool
) -> pa.RecordBatch | None:
    """The record batch of a frame, not copied unless it has dictionaries; None where the frame is damaged.

    `sequence` and `rows` are what the index says; a frame that says otherwise is not the one looked for.
    """
    view = memoryview(frame).cast("B")  # pyarrow says "b": bytes would compare as signed
    position = 0
    while True:
        head = parse_head(view[position:])
        if head is None or position + head.size > len(view) or head.sequence != sequence:
            return None
        body = view[position + head.body_offset : position + head.size]
        if verify and body_checksum(body) != head.body_sum:
            return None
        if head.kind == BATCH:
            break
        position += head.size
    if head.rows != rows or position + head.size != len(view):
        return None
    try:
        if position == 0:
            return pa.ipc.read_record_batch(frame, schema)
        whole = pa.py_buffer(b"".join([memoryview(schema.serialize()), view, END_OF_STREAM]))
        return pa.ipc.open_stream(whole).read_next_batch()
    except pa.ArrowException:
        return None  # every byte is right, so some are missing: dictionaries, lost with their heads


def _message(kind: bytes, metadata: pa.Buffer, body: pa.Buffer | None) -> Message:
    flat = bytes(metadata)
    flat += bytes(-len(flat) % 8)
    view = memoryview(b"") if body is None else memoryview(body)
    return Message(kind, flat, view, body_checksum(view))


def _message_pieces(message: Message, sequence: int, rows: int, times: tuple[int, int]) -> list[Piece]:
    size = len(message.metadata)
    prefix = CONTINUATION + _U32.pack(size + RECORD_BYTES)
    record = _RECORD.pack(
        MAGIC, message.kind, size, len(message.body), sequence, rows, times[0], times[1], message.body_sum
    )
    head_sum = zlib.crc32(record, zlib.crc32(message.metadata, zlib.crc32(prefix)))
    return [prefix, message.metadata, record + _U32.pack(head_sum), message.body]
