"""KeyMap: partition key of any columns -> dense partition number, in order of first appearance."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .builder cimport OutColumn
from .column cimport Column

cdef enum:
    NO_PARTITION = 0xFFFFFFFF

cdef struct Slot:
    uint64_t key            # the key itself (one number) or its hash (bytes)
    uint32_t id             # partition number + 1; 0 = free
    uint32_t unused

cdef struct KeyMap:
    int32_t n_columns
    bint single             # one column of a number: the key is its 64 bits
    uint64_t seed
    int64_t count           # partitions so far
    int64_t capacity        # slots, a power of two
    Slot *slots
    uint64_t *numbers       # single: key bits by partition number
    int64_t *ends           # bytes: end of each key in `bytes`, by partition number
    int64_t room            # partitions that numbers / ends have room for
    uint8_t *bytes
    int64_t bytes_used
    int64_t bytes_room
    uint32_t null_id        # single: the partition of NULL, or NO_PARTITION
    uint32_t *code_ids      # per batch: dictionary code -> partition number (NO_PARTITION: not seen yet)
    int64_t code_room
    const Column *code_of   # the dictionary column that code_ids belongs to, or NULL
    uint8_t *scratch
    int64_t scratch_room

cdef int keymap_init(KeyMap *m, int n_columns, bint single, uint64_t seed) noexcept nogil
cdef void keymap_free(KeyMap *m) noexcept nogil
# Once per batch, before keymap_ids.
cdef int keymap_prepare(KeyMap *m, const Column **columns, int64_t n_rows) noexcept nogil
# Partition numbers of n rows: those in `rows`, or start .. start+n where rows is NULL.
cdef int keymap_ids(KeyMap *m, const Column **columns, const int32_t *rows, int64_t start, int64_t n,
                    uint32_t *out) noexcept nogil
# Appends column `c` of partition `id`'s key to an output column.
cdef int keymap_emit(const KeyMap *m, uint32_t id, int c, OutColumn *out) noexcept nogil
cdef bytes keymap_save(const KeyMap *m)
cdef int keymap_restore(KeyMap *m, const uint8_t *data, int64_t size) noexcept nogil
