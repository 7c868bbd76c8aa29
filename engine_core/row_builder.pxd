"""RowBuilder: events given as dicts -> columns."""
from libc.stdint cimport int64_t
from .builder cimport OutColumn
from .schema cimport Schema

cdef struct RowColumn:
    int role
    int kind
    int64_t unit_ns     # of a time: nanoseconds per unit
    int64_t low
    int64_t high


cdef class RowBuilder:
    cdef readonly Schema schema
    cdef readonly bint supports         # False: some column is of a type that is not built here
    cdef RowColumn *columns
    cdef OutColumn *outs                # what `fill` wrote; empty between calls from Python
    cdef int64_t n
    cdef list names
    cdef int64_t fill(self, object rows) except -1   # to the (empty) outs; how many; on an error they are empty again
    cdef bint fill_plain(self, dict event) noexcept  # one event to the (empty) outs; False: they are empty again
    cdef void clear(self) noexcept                   # empties the outs
    cdef bint describe(self, int64_t i, str format, int kind)
    cdef dict as_dict(self, object event, int64_t row)
    cdef int surplus(self, dict event, int64_t row) except -1
    cdef int write(self, int64_t i, object value, int64_t row) except -1
    cdef int write_int(self, int64_t i, object number, int64_t row, object value) except -1
    cdef int write_time(self, int64_t i, object value, int64_t row) except -1
    cdef object wrong(self, int64_t i, object value, int64_t row)
    cdef object beyond(self, int64_t i, object value, int64_t row, object low, object high)
