"""Declarations of latch.hpp: a lock that is tried, never waited for."""

cdef extern from "latch.hpp" namespace "tocsin" nogil:
    cppclass Latch:
        bint try_take()
        void leave()
