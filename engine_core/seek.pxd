"""Seek: from a thread that waits to the next row that can move it, without looking at the rows between."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from .history cimport History

cdef enum:
    EXITS_MAX = 2               # ways out of a waiting position; with more it is not waited at
    SEEK_FAN = 64               # rows per block, and blocks per block above

cdef enum SeekKind:
    SEEK_MASK = 0               # the row's condition holds
    SEEK_EQUAL = 1              # a column is equal to the thread's value
    SEEK_LESS = 2               # a column is less than it ...
    SEEK_LESS_EQUAL = 3
    SEEK_GREATER = 4
    SEEK_GREATER_EQUAL = 5

cdef struct Exit:               # a way out of a waiting position
    int32_t kind
    int32_t condition           # the row's condition that must hold, or -1
    int32_t index               # which Chain or Tree
    int32_t key                 # which of the Definitions' keys gives the thread's value
    int32_t also                # SEEK_EQUAL: a second comparison that must hold, of SEEK_LESS … SEEK_GREATER_EQUAL, or -1
    int32_t also_column         # of the history
    int32_t also_type
    int32_t also_key

cdef struct ChainSlot:
    uint64_t key                # of partition and value; 0: free
    int32_t first
    int32_t last

cdef struct Chain:              # rows of equal partition and value, in order
    int32_t column              # of the history
    int32_t type
    ChainSlot *slots
    int64_t capacity            # a power of two
    int64_t used
    uint64_t *key               # by row
    int32_t *following          # by row: the next of its chain, or NO_ROW

cdef struct Tree:               # the extremes of a column, by block of rows, by block of blocks, ...
    int32_t column              # of the history; -1: the masks, whose bits are ORed
    int32_t type
    int n_levels
    int64_t n_rows
    uint64_t *low[6]            # smallest value of each block (masks: all bits of it)
    uint64_t *high[6]           # largest
    int64_t room[6]
    int64_t opened[6]           # blocks that have a value

cdef struct Seeks:
    Exit *exits                 # EXITS_MAX for each position
    uint8_t *n_exits            # by position; 0: not a waiting position
    Chain *chains
    int n_chains
    Tree *trees
    int n_trees
    int64_t room                # rows that the arrays by row have room for

cdef void seeks_free(Seeks *s) noexcept nogil
# History row `row` was linked into partition `track`. Status.
cdef int seeks_add(Seeks *s, const History *h, int32_t row, int32_t track) noexcept nogil
# After a collection: all rows anew. Status.
cdef int seeks_rebuild(Seeks *s, const History *h) noexcept nogil
# Whether a row can take the exit, for a thread with this value.
cdef bint seek_fits(const Seeks *s, const History *h, const Exit *e, uint64_t value, uint64_t also,
                    int32_t row) noexcept nogil
# Whether a row meets the exit's second comparison with `also`.
cdef bint seek_also(const History *h, const Exit *e, uint64_t also, int32_t row) noexcept nogil
# The first row behind `after` of the partition that can, or NO_ROW.
# `dead`: no search will be for a row at or before this one any more, in this partition.
cdef int32_t seek_next(Seeks *s, const History *h, const Exit *e, uint64_t value, uint64_t also, int32_t after, int32_t dead,
                       int32_t track) noexcept nogil
cdef bint seek_below(int type, uint64_t a, uint64_t b) noexcept nogil
cdef bint is_nan(int type, uint64_t word) noexcept nogil
cdef uint64_t chain_key(uint64_t value, int32_t track) noexcept nogil
# A thread's value as exits compare it: of a text its hash.
cdef uint64_t seek_word(int type, uint64_t word, const uint8_t *data, int64_t size) noexcept nogil
