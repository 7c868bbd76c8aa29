"""LagTable: PREV(x, n) inside the partition, as one remembered value per partition (a keyed lag)."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .blob cimport Blob, Reader
from .column cimport Column
from .registers cimport Input

cdef struct Cell:               # a remembered value
    uint64_t word               # number, or pointer to the text's bytes
    int32_t size                # text
    uint8_t valid               # 0: NULL, or no such row yet
    uint8_t owned               # the text is ours (malloc); else it lies in the batch under way
    uint8_t unused[2]

cdef struct LagColumn:
    int32_t column
    int32_t type                # expression.Type
    int32_t depth               # the largest n asked
    int32_t unused
    Cell *cells                 # depth per partition, a ring
    uint32_t *at                # ring position per partition (depth > 1)

cdef struct LagOutput:          # one PREV(x, n): a vector of CHUNK rows, refilled per chunk
    int32_t lag                 # which LagColumn
    int32_t offset              # n
    void *data
    uint8_t *valid

cdef struct Change:             # a cell's value before the batch, for undo and for texts to be freed
    int32_t lag
    uint32_t cell
    Cell before

cdef struct LagTable:
    LagColumn *columns
    int32_t n_columns
    LagOutput *outputs
    int32_t n_outputs
    int64_t room                # partitions
    bint keep_changes           # the conditions can fault: every change is noted, so that it can be undone
    Change *changes
    int64_t n_changes, changes_room
    uint32_t *stepped           # partitions in the order of their rows: undoing a ring's position
    int64_t n_stepped, stepped_room
    bint undoable               # this batch notes its changes
    uint8_t *snapshot           # or else: all cells and positions as they were before it
    int64_t snapshot_room
    int64_t snapshot_partitions

cdef int lag_init(LagTable *t) noexcept nogil
cdef void lag_free(LagTable *t) noexcept nogil
# Once per batch, before lag_run: how it could be undone. `n_partitions` so far.
cdef int lag_begin(LagTable *t, int64_t n_rows, int64_t n_partitions) noexcept nogil
cdef int lag_reserve(LagTable *t, int64_t n_partitions) noexcept nogil
# Fills every output for rows start .. start+n (or for `rows`, unless NULL; n <= CHUNK) and remembers the rows' values.
cdef int lag_run(LagTable *t, const Column *columns, const int32_t *rows, const uint32_t *partitions, int64_t start,
                 int64_t n) noexcept nogil
cdef int lag_commit(LagTable *t) noexcept nogil     # the batch is done: its texts are copied
cdef void lag_undo(LagTable *t) noexcept nogil      # the batch never happened (keep_changes)
cdef void lag_save(const LagTable *t, int64_t n_partitions, Blob *b) noexcept nogil
cdef int lag_restore(LagTable *t, int64_t n_partitions, Reader *r) noexcept nogil
