"""Arguments of aggregates that are expressions: their values in the rows of a match."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from .builder cimport OutColumn
from .column cimport Column
from .expression cimport Program
from .history cimport History
from .registers cimport Frame, Input
from .status cimport Fault

cdef enum:
    INPUT_CLASSIFIER = -2       # in place of a column of the History: the name of the row's variable
    INPUT_MATCH_NUMBER = -3

# The rows of one match that are recorded, with the variable of each.
cdef struct LabelledRows:
    const History *history
    const int32_t *rows
    const uint8_t *labels
    int64_t n
    int64_t number              # of the match
    const OutColumn *names      # of the variables

cdef class ArgumentGroup:
    cdef readonly Program program
    cdef readonly uint64_t variables
    cdef readonly ArgumentGroup next
    cdef Frame frame
    cdef bint framed
    cdef int32_t *sources       # per input: column of the History, or INPUT_...
    cdef Input *inputs
    cdef Column *views
    cdef OutColumn *gathered    # per input: the values of one chunk
    cdef OutColumn *values      # per result: of all rows of the match that are of `variables`, in their order
    cdef int32_t *chosen        # CHUNK: those rows, as numbers of the History
    cdef int32_t *chosen_labels

    # Fills `values` of this group and of all behind it. A fault's `item` is base + the number of the result.
    cdef int run(self, const LabelledRows *match, int base, Fault *fault) noexcept nogil
    cdef int _chunk(self, const LabelledRows *match, int64_t n, Fault *fault) noexcept nogil
