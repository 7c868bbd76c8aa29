"""Declarations of spares.hpp: memory of jobs that are done, for those that are opened next."""

cdef extern from "spares.hpp" namespace "tocsin" nogil:
    cppclass Spares:
        @staticmethod
        Spares *make(size_t most)

        @staticmethod
        void destroy(Spares *spares)
        void *take(size_t size, size_t *room)
        void give(void *memory, size_t room)
