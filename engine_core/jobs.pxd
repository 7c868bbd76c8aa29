"""Declarations of jobs.hpp: how several workers share the work on one batch."""
from libc.stdint cimport int64_t

cdef extern from "jobs.hpp" namespace "tocsin" nogil:
    const int JOB_AWAY
    const int JOB_OPENER
    const int JOB_OPEN

    cppclass Patience:
        Patience()
        void wait()

    cppclass Jobs:
        @staticmethod
        Jobs *make(int workers, int room)

        @staticmethod
        void destroy(Jobs *jobs)
        int place(int64_t job)
        int try_enter(int64_t job)
        int enter(int64_t job)
        void opened(int64_t job, int segments, bint votes)
        int take_segment(int64_t job)
        void segment_done(int64_t job)
        bint segments_ready(int64_t job)
        bint vote(int64_t job, bint yes)
        bint leave(int64_t job)
        void completed(int64_t job)
