"""RowReader: columns -> events as dicts."""
from .schema cimport Schema


cdef class RowReader:
    cdef readonly Schema schema
    cdef readonly bint supports     # False: some column is of a type that is not read here
    cdef tuple names
    cdef list ways                  # by column: a Way, or -1
    cdef list units                 # by column: microseconds, for times
