"""Attempts by groups: structure and step."""
from libc.stdint cimport int64_t, uint32_t

from .parts cimport Attempts, Group, Part, Start

cdef int64_t candidate_of(const Attempts *a, const Part *p, const Start *s, Group **where) noexcept nogil
cdef int group_new(Attempts *a, Part *p, uint32_t state, uint32_t *out) noexcept nogil
cdef int set_candidate(Attempts *a, Group *g, int64_t sequence) noexcept nogil
cdef void start_free(Attempts *a, Part *p, Start *s) noexcept nogil
cdef int start_room(Attempts *a, Part *p) noexcept nogil
cdef int start_push(Attempts *a, Part *p, int64_t sequence, int64_t time, uint32_t group) noexcept nogil
cdef int part_group(Attempts *a, Part *p) noexcept nogil
cdef int attempts_group(Attempts *a) noexcept nogil
cdef int groups_step(Attempts *a, Part *p, int64_t sequence, uint32_t letter, uint32_t *resolved,
                     bint *bare_merged) noexcept nogil
cdef void thin(Attempts *a, Part *p) noexcept nogil
cdef int start_new(Attempts *a, Part *p, int64_t sequence, int64_t time, uint32_t code,
                   uint32_t *resolved) noexcept nogil
