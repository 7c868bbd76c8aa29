"""Blob: bytes written and read in order, for saved state. Reading checks every bound: the bytes may be anyone's."""
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

cdef struct Blob:
    uint8_t *data
    int64_t used
    int64_t room
    bint failed                 # writing: no memory

cdef struct Reader:
    const uint8_t *data
    int64_t size
    int64_t at
    bint failed                 # read past the end: everything read since is 0

cdef inline void blob_put(Blob *b, const void *data, int64_t size) noexcept nogil:
    cdef int64_t room
    cdef void *p
    if b.failed or size <= 0:
        return
    if b.used + size > b.room:
        room = 2 * (b.used + size) + 256
        p = realloc(b.data, room)
        if p == NULL:
            b.failed = True
            return
        b.data = <uint8_t *>p
        b.room = room
    memcpy(b.data + b.used, data, size)
    b.used += size

cdef inline void blob_i64(Blob *b, int64_t value) noexcept nogil:
    blob_put(b, &value, 8)

cdef inline bint reader_take(Reader *r, void *out, int64_t size) noexcept nogil:
    if r.failed or size < 0 or size > r.size - r.at:
        r.failed = True
        if size > 0:
            memset(out, 0, size)
        return False
    if size:
        memcpy(out, r.data + r.at, size)
    r.at += size
    return True

cdef inline int64_t reader_i64(Reader *r) noexcept nogil:
    cdef int64_t value = 0
    reader_take(r, &value, 8)
    return value

# A count of things of at least `least` bytes each: never more than the bytes that are left could hold.
cdef inline int64_t reader_count(Reader *r, int64_t least) noexcept nogil:
    cdef int64_t n = reader_i64(r)
    if n < 0 or n > (r.size - r.at) // least:
        r.failed = True
        return 0
    return n
