"""Footprint: how many bytes the state of a matcher takes, without walking it.

What        the sum of what every buffer has room for that grows with partitions, open attempts or kept rows, and of the
            texts that they own. Not counted: the program, the automaton's cache (bounded by itself), buffers that serve one
            batch at a time, and malloc's own overhead.
How         rooms are known; what lies scattered (the buffers that a part has outgrown its block for, texts) is counted
            where it comes and goes (Attempts.grown, ValueColumn.held, LagTable.text_bytes). So this costs some 20 additions,
            once per batch, whatever the state's size.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .builder cimport KIND_LIST, OutColumn
from .column cimport KIND_BOOL, KIND_NULL, KIND_UTF8
from .conditions cimport Conditions
from .history cimport History
from .keymap cimport KeyMap, Slot
from .lag cimport Cell, LagTable
from .parts cimport PARTS_PER_BLOCK, Attempts, Timer
from .seek cimport ChainSlot, Seeks
from .threads cimport Attempt, Bucket, Due, Parking, Thread, Threads, Ticket, Track
from .trace cimport Node
from .words cimport ValueColumn


cdef int64_t keymap_bytes(const KeyMap *m) noexcept nogil:
    cdef int64_t bytes = m.capacity * <int64_t>sizeof(Slot) + m.bytes_room + m.scratch_room
    return bytes + m.room * 8 + m.code_room * <int64_t>sizeof(uint32_t)


cdef int64_t lag_bytes(const LagTable *t) noexcept nogil:
    cdef int64_t bytes = t.text_bytes
    cdef int i
    for i in range(t.n_columns):
        bytes += t.room * t.columns[i].depth * <int64_t>sizeof(Cell)
        if t.columns[i].depth > 1:
            bytes += t.room * <int64_t>sizeof(uint32_t)
    return bytes


cdef int64_t values_bytes(const ValueColumn *values, int n) noexcept nogil:
    cdef int64_t bytes = 0
    cdef int i
    for i in range(n):
        bytes += values[i].held
    return bytes


cdef int64_t attempts_bytes(const Attempts *a, Conditions conditions) noexcept nogil:
    cdef int64_t bytes = keymap_bytes(&a.keys) + lag_bytes(&conditions.lags) + a.grown
    bytes += a.partitions_room * <int64_t>sizeof(uint32_t)
    if a.match_numbers != NULL:
        bytes += a.partitions_room * <int64_t>sizeof(int64_t)
    bytes += a.n_blocks * PARTS_PER_BLOCK * (a.part_stride + a.cold_stride)
    bytes += a.timers_room * <int64_t>sizeof(Timer)
    bytes += values_bytes(a.start_values, a.n_start_values) + values_bytes(a.end_values, a.n_end_values)
    return bytes + values_bytes(a.measures.row_values, a.measures.n_row_values)


cdef int64_t column_bytes(const OutColumn *o) noexcept nogil:
    cdef int64_t bytes = 0
    if o.kind == KIND_UTF8:
        bytes = o.bytes_capacity + (o.capacity + 1) * <int64_t>sizeof(int32_t)
    elif o.kind == KIND_BOOL:
        bytes = o.capacity >> 3
    elif o.kind != KIND_NULL and o.kind != KIND_LIST:
        bytes = o.capacity * o.width
    return bytes + (o.capacity >> 3 if o.validity != NULL else 0)


cdef int64_t history_bytes(const History *h) noexcept nogil:
    # By row: sequence, time, mask, track, ordinal, before, behind, marks, renumbered.
    cdef int64_t bytes = h.room * <int64_t>(4 * sizeof(int64_t) + 4 * sizeof(int32_t) + sizeof(uint8_t))
    cdef int i
    for i in range(h.n_columns):
        bytes += column_bytes(&h.columns[i])
    return bytes


cdef int64_t seeks_bytes(const Seeks *s) noexcept nogil:
    cdef int64_t bytes = 0
    cdef int i, level
    for i in range(s.n_chains):
        bytes += s.chains[i].capacity * <int64_t>sizeof(ChainSlot)
        bytes += s.room * <int64_t>(sizeof(uint64_t) + sizeof(int32_t))
    for i in range(s.n_trees):
        for level in range(s.trees[i].n_levels):
            bytes += 2 * s.trees[i].room[level] * <int64_t>sizeof(uint64_t)
    return bytes


cdef int64_t parking_bytes(const Parking *p, const Seeks *s) noexcept nogil:
    cdef int64_t bytes = p.room * <int64_t>sizeof(Ticket) + p.woken_room * <int64_t>sizeof(int32_t)
    cdef int i
    for i in range(s.n_chains):
        bytes += p.capacity[i] * <int64_t>sizeof(Bucket)
    for i in range(4 * s.n_trees + 1):
        bytes += p.heaps[i].room * <int64_t>sizeof(Ticket)
    return bytes


cdef int64_t threads_bytes(const Threads *t, Conditions conditions) noexcept nogil:
    cdef int64_t bytes = keymap_bytes(&t.keys) + lag_bytes(&conditions.lags) + history_bytes(&t.history)
    bytes += seeks_bytes(&t.seeks)
    if t.indexed:
        bytes += parking_bytes(&t.parking, &t.seeks)
    bytes += t.trace.room * <int64_t>sizeof(Node)
    bytes += t.threads_room * <int64_t>sizeof(Thread)
    bytes += t.blocks_room * t.n_words * <int64_t>sizeof(uint64_t) + t.blocks_spare_room * <int64_t>sizeof(int32_t)
    bytes += t.attempts_room * <int64_t>sizeof(Attempt)
    bytes += t.tracks_room * <int64_t>sizeof(Track)
    return bytes + t.dues_room * <int64_t>sizeof(Due)
