"""Output: leaf values of matches -> columns of the result, by the measures' expression program."""
from libc.stdint cimport int32_t, int64_t

from .batch cimport BatchC
from .builder cimport OutColumn
from .column cimport Column
from .expression cimport Program
from .registers cimport Frame, Input, Vec
from .status cimport Fault

cdef struct OutputColumn:
    int32_t leaf                # the leaf column that is this column as it stands, or -1
    int32_t result              # else the number of the program's result
    int32_t kind                # column.Kind and width of what is made of a result
    int32_t width

# Appends rows 0 .. n - 1 of a program's result of register type `type`. `start` and `item` are for the fault of a value
# that its column cannot hold: its row is start + i.
cdef int vector_append(OutColumn *o, const Vec *r, int type, int64_t n, int64_t start, int item, Fault *fault) noexcept nogil

cdef class Output:
    cdef Program program
    cdef Frame frame
    cdef bint framed
    cdef Input *inputs
    cdef int32_t *leaf_of_input
    cdef OutputColumn *columns
    cdef int n_columns
    cdef OutColumn *leaves      # filled by the matcher
    cdef readonly int n_leaves
    cdef int32_t *leaf_kinds
    cdef int32_t *leaf_widths
    cdef int match_leaf         # the leaf (int64) that tells which match a row is of, NULL: of none; or -1: each row is one

    # Turns the collected leaf rows into a batch (NULL: none) and starts anew. A match of which a measure faults is taken out
    # with all its rows and reported; the others stay for the next call.
    cdef int take(self, BatchC **out, Fault *fault) noexcept nogil
    cdef int64_t waiting(self) noexcept nogil
    # Kind and width of a column of the result, as out_init takes them.
    cdef void layout(self, int column, int32_t *kind, int32_t *width) noexcept nogil
    cdef void _remove(self, int64_t row) noexcept nogil
    cdef bint _of_none(self, int64_t row) noexcept nogil
    cdef int _run(self, OutColumn *results, int64_t start, int64_t n, Fault *fault) noexcept nogil
    cdef int _compute(self, Column *views, OutColumn *results, int64_t n, Fault *fault) noexcept nogil
