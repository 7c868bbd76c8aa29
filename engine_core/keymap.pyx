"""KeyMap: partition key -> dense partition number (0, 1, 2, ... in order of first appearance).

What        an open-addressing hash table with linear probing, at most half full, that only grows.
Layout      a 16-byte slot holds the key itself when the key is one number of at most 64 bits (one cache line
            per look-up), else the key's hash, with the key's bytes in one arena in order of partition number.
            Bytes of any other key: per column a tag (0 NULL, 1 number, 2 text), then the number's 8 bytes, or
            8 bytes of size and the text.
Equality    NULL is a partition of its own; -0.0 is 0.0; all NaNs are one partition (SQL:2016: "not distinct").
            A dictionary's values are compared, not its codes: code -> partition is remembered for one batch.
Invariants  numbers never change and are never reused; capacity is a power of two; count < capacity / 2.
Cost        one multiply and about one cache line per row for a number; rows of a chunk are prefetched together.
Limits      memory; 2^32 - 2 partitions.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from .builder cimport OutColumn, out_push_bytes, out_push_f64, out_push_word, out_push_null
from .column cimport (KIND_DICT, KIND_F16, KIND_F32, KIND_F64, KIND_FIXED, KIND_I64, KIND_LARGE_UTF8, KIND_U64,
                      KIND_UTF8, KIND_UTF8_VIEW, Column, column_bytes, column_f64, column_i64, column_valid,
                      dictionary_code)
from .hash cimport hash_bytes, hash_u64, prefetch
from .status cimport STATUS_LIMIT, STATUS_NO_MEMORY, STATUS_OK, STATUS_STATE

cdef enum:
    BLOCK = 256             # rows that are hashed and prefetched together


# ---------------------------------------------------------------- kernel

cdef int keymap_init(KeyMap *m, int n_columns, bint single, uint64_t seed) noexcept nogil:
    memset(m, 0, sizeof(KeyMap))
    m.n_columns = n_columns
    m.single = single
    m.seed = seed
    m.null_id = NO_PARTITION
    m.capacity = 64
    m.slots = <Slot *>calloc(m.capacity, sizeof(Slot))
    return STATUS_OK if m.slots != NULL else STATUS_NO_MEMORY


cdef void keymap_free(KeyMap *m) noexcept nogil:
    free(m.slots)
    free(m.numbers)
    free(m.ends)
    free(m.bytes)
    free(m.code_ids)
    free(m.scratch)
    memset(m, 0, sizeof(KeyMap))


cdef int grow(KeyMap *m) noexcept nogil:
    cdef int64_t capacity = m.capacity * 2, i, at
    cdef Slot *slots = <Slot *>calloc(capacity, sizeof(Slot))
    cdef uint64_t h
    if slots == NULL:
        return STATUS_NO_MEMORY
    for i in range(m.capacity):
        if m.slots[i].id == 0:
            continue
        h = hash_u64(m.slots[i].key, m.seed) if m.single else m.slots[i].key
        at = <int64_t>(h & <uint64_t>(capacity - 1))
        while slots[at].id != 0:
            at = (at + 1) & (capacity - 1)
        slots[at] = m.slots[i]
    free(m.slots)
    m.slots = slots
    m.capacity = capacity
    return STATUS_OK


cdef int reserve(KeyMap *m) noexcept nogil:
    """Room for one more partition, in the table and behind it."""
    cdef int64_t room
    cdef void *p
    if m.count >= <int64_t>NO_PARTITION - 1:
        return STATUS_LIMIT
    if 2 * (m.count + 1) >= m.capacity:
        if grow(m) != STATUS_OK:
            return STATUS_NO_MEMORY
    if m.count >= m.room:
        room = m.room * 2 if m.room else 64
        if m.single:
            p = realloc(m.numbers, room * sizeof(uint64_t))
            if p == NULL:
                return STATUS_NO_MEMORY
            m.numbers = <uint64_t *>p
        else:
            p = realloc(m.ends, room * sizeof(int64_t))
            if p == NULL:
                return STATUS_NO_MEMORY
            m.ends = <int64_t *>p
        m.room = room
    return STATUS_OK


cdef int find_number(KeyMap *m, uint64_t key, uint64_t h, uint32_t *out) noexcept nogil:
    cdef int64_t at = <int64_t>(h & <uint64_t>(m.capacity - 1))
    cdef int status
    while m.slots[at].id != 0:
        if m.slots[at].key == key:
            out[0] = m.slots[at].id - 1
            return STATUS_OK
        at = (at + 1) & (m.capacity - 1)
    status = reserve(m)
    if status != STATUS_OK:
        return status
    at = <int64_t>(h & <uint64_t>(m.capacity - 1))
    while m.slots[at].id != 0:
        at = (at + 1) & (m.capacity - 1)
    m.slots[at].key = key
    m.slots[at].id = <uint32_t>(m.count + 1)
    m.numbers[m.count] = key
    out[0] = <uint32_t>m.count
    m.count += 1
    return STATUS_OK


cdef int find_null(KeyMap *m, uint32_t *out) noexcept nogil:
    cdef int status
    if m.null_id == NO_PARTITION:
        status = reserve(m)
        if status != STATUS_OK:
            return status
        m.numbers[m.count] = 0
        m.null_id = <uint32_t>m.count
        m.count += 1
    out[0] = m.null_id
    return STATUS_OK


cdef int find_bytes(KeyMap *m, const uint8_t *key, int64_t size, uint32_t *out) noexcept nogil:
    cdef uint64_t h = hash_bytes(key, size, m.seed)
    cdef int64_t at = <int64_t>(h & <uint64_t>(m.capacity - 1)), begin, room
    cdef uint32_t id
    cdef int status
    cdef void *p
    while m.slots[at].id != 0:
        if m.slots[at].key == h:
            id = m.slots[at].id - 1
            begin = m.ends[id - 1] if id else 0
            if m.ends[id] - begin == size and (size == 0 or memcmp(m.bytes + begin, key, size) == 0):
                out[0] = id
                return STATUS_OK
        at = (at + 1) & (m.capacity - 1)
    status = reserve(m)
    if status != STATUS_OK:
        return status
    if m.bytes_used + size > m.bytes_room:
        room = 2 * (m.bytes_used + size) + 256
        p = realloc(m.bytes, room)
        if p == NULL:
            return STATUS_NO_MEMORY
        m.bytes = <uint8_t *>p
        m.bytes_room = room
    at = <int64_t>(h & <uint64_t>(m.capacity - 1))
    while m.slots[at].id != 0:
        at = (at + 1) & (m.capacity - 1)
    if size:
        memcpy(m.bytes + m.bytes_used, key, size)
    m.bytes_used += size
    m.slots[at].key = h
    m.slots[at].id = <uint32_t>(m.count + 1)
    m.ends[m.count] = m.bytes_used
    out[0] = <uint32_t>m.count
    m.count += 1
    return STATUS_OK


cdef inline bint is_text(int kind) noexcept nogil:
    return kind == KIND_UTF8 or kind == KIND_LARGE_UTF8 or kind == KIND_UTF8_VIEW


cdef inline uint64_t number_bits(const Column *c, int64_t i) noexcept nogil:
    cdef double x
    cdef uint64_t bits
    if c.kind == KIND_F64 or c.kind == KIND_F32 or c.kind == KIND_F16:
        x = column_f64(c, i)
        if x == 0.0:
            return 0
        if x != x:
            return 0x7ff8000000000000
        memcpy(&bits, &x, 8)
        return bits
    return <uint64_t>column_i64(c, i)


cdef int find_row(KeyMap *m, const Column **columns, int64_t row, uint32_t *out) noexcept nogil:
    """The partition of one row: any key."""
    cdef int64_t used = 0, size, at, need, whole
    cdef int i
    cdef uint64_t bits
    cdef const Column *c
    cdef const uint8_t *text
    cdef bint ok
    cdef void *p
    for i in range(m.n_columns):
        c = columns[i]
        at = row
        ok = column_valid(c, at)
        if ok and c.kind == KIND_DICT:
            at = dictionary_code(c, at)
            c = c.dictionary
            ok = column_valid(c, at)
        if m.single:
            if not ok:
                return find_null(m, out)
            bits = number_bits(c, at)
            return find_number(m, bits, hash_u64(bits, m.seed), out)
        size = 8
        text = <const uint8_t *>&bits
        if ok and is_text(c.kind):
            column_bytes(c, at, &text, &size)
        elif ok and c.kind == KIND_FIXED:
            size = c.width
            text = c.values + c.width * at
        elif ok:
            bits = number_bits(c, at)
        need = used + 9 + size
        if need > m.scratch_room:
            p = realloc(m.scratch, 2 * need)
            if p == NULL:
                return STATUS_NO_MEMORY
            m.scratch = <uint8_t *>p
            m.scratch_room = 2 * need
        m.scratch[used] = 0 if not ok else (2 if is_text(c.kind) or c.kind == KIND_FIXED else 1)
        used += 1
        if not ok:
            continue
        if is_text(c.kind) or c.kind == KIND_FIXED:
            whole = size
            memcpy(m.scratch + used, &whole, 8)
            used += 8
        if size:
            memcpy(m.scratch + used, text, size)
        used += size
    return find_bytes(m, m.scratch, used, out)


cdef int keymap_prepare(KeyMap *m, const Column **columns, int64_t n_rows) noexcept nogil:
    cdef int64_t size
    cdef void *p
    m.code_of = NULL
    if m.n_columns != 1 or columns[0].kind != KIND_DICT:
        return STATUS_OK
    size = columns[0].dictionary.length
    if size > 2 * n_rows + 64:      # clearing the memory would cost more than it saves
        return STATUS_OK
    if size > m.code_room:
        p = realloc(m.code_ids, size * sizeof(uint32_t))
        if p == NULL:
            return STATUS_NO_MEMORY
        m.code_ids = <uint32_t *>p
        m.code_room = size
    if size:
        memset(m.code_ids, 0xFF, size * sizeof(uint32_t))
    m.code_of = columns[0]
    return STATUS_OK


cdef int keymap_ids(KeyMap *m, const Column **columns, const int32_t *rows, int64_t start, int64_t n,
                    uint32_t *out) noexcept nogil:
    cdef int64_t i, k, block, row, at, code
    cdef uint64_t keys[BLOCK]
    cdef uint64_t hashes[BLOCK]
    cdef const Column *c
    cdef int status
    if m.n_columns == 0:
        memset(out, 0, n * sizeof(uint32_t))
        if n and m.count == 0:
            status = find_bytes(m, NULL, 0, out) if not m.single else STATUS_OK
            return status
        return STATUS_OK
    c = columns[0]
    if m.code_of == c:
        for i in range(n):
            row = start + i if rows == NULL else rows[i]
            if not column_valid(c, row):
                status = find_row(m, columns, row, &out[i])
                if status != STATUS_OK:
                    return status
                continue
            code = dictionary_code(c, row)
            out[i] = m.code_ids[code]
            if out[i] == NO_PARTITION:
                status = find_row(m, columns, row, &out[i])
                if status != STATUS_OK:
                    return status
                m.code_ids[code] = out[i]
        return STATUS_OK
    if not m.single or c.kind == KIND_DICT or c.null_count != 0:
        for i in range(n):
            status = find_row(m, columns, start + i if rows == NULL else rows[i], &out[i])
            if status != STATUS_OK:
                return status
        return STATUS_OK
    # One number without nulls: hash a block, prefetch its slots, then look them up.
    for i from 0 <= i < n by BLOCK:
        block = n - i if n - i < BLOCK else BLOCK
        if c.kind == KIND_I64 or c.kind == KIND_U64:
            if rows == NULL:
                memcpy(keys, c.values + 8 * (start + i), block * 8)
            else:
                for k in range(block):
                    keys[k] = (<const uint64_t *>c.values)[rows[i + k]]
        else:
            for k in range(block):
                keys[k] = number_bits(c, start + i + k if rows == NULL else rows[i + k])
        for k in range(block):
            hashes[k] = hash_u64(keys[k], m.seed)
            prefetch(&m.slots[<int64_t>(hashes[k] & <uint64_t>(m.capacity - 1))])
        for k in range(block):
            # PERF: probes stay in the cache line that was asked for; only a new key takes the call below.
            at = <int64_t>(hashes[k] & <uint64_t>(m.capacity - 1))
            while m.slots[at].key != keys[k] and m.slots[at].id != 0:
                at = (at + 1) & (m.capacity - 1)
            if m.slots[at].id != 0:
                out[i + k] = m.slots[at].id - 1
                continue
            status = find_number(m, keys[k], hashes[k], &out[i + k])
            if status != STATUS_OK:
                return status
    return STATUS_OK


cdef int emit_number(OutColumn *out, uint64_t bits) noexcept nogil:
    cdef double x
    if out.kind == KIND_F64 or out.kind == KIND_F32 or out.kind == KIND_F16:
        memcpy(&x, &bits, 8)
        return out_push_f64(out, x)
    return out_push_word(out, <int64_t>bits)


cdef int keymap_emit(const KeyMap *m, uint32_t id, int c, OutColumn *out) noexcept nogil:
    cdef const uint8_t *p
    cdef int i
    cdef int64_t size
    cdef uint64_t bits
    if m.single:
        return out_push_null(out) if id == m.null_id else emit_number(out, m.numbers[id])
    p = m.bytes + (m.ends[id - 1] if id else 0)
    for i in range(m.n_columns):
        if p[0] == 0:
            if i == c:
                return out_push_null(out)
            p += 1
            continue
        if p[0] == 2:
            memcpy(&size, p + 1, 8)
            if i == c:
                return out_push_bytes(out, p + 9, size)
            p += 9 + size
        else:
            memcpy(&bits, p + 1, 8)
            if i == c:
                return emit_number(out, bits)
            p += 9
    return STATUS_STATE


# ---------------------------------------------------------------- save and restore

cdef bytes keymap_save(const KeyMap *m):
    """count, null partition, then the keys in order of partition number."""
    cdef int64_t head[3]
    head[0] = m.count
    head[1] = m.null_id
    head[2] = m.bytes_used
    saved = (<const char *>head)[:24]
    if m.count == 0:
        return saved
    if m.single:
        return saved + (<const char *>m.numbers)[:m.count * 8]
    return saved + (<const char *>m.ends)[:m.count * 8] + ((<const char *>m.bytes)[:m.bytes_used] if m.bytes_used else b"")


cdef bint key_is_whole(const KeyMap *m, const uint8_t *p, int64_t size) noexcept nogil:
    """Whether `size` bytes are exactly one key of n_columns parts: keymap_emit trusts that."""
    cdef int64_t at = 0, text
    for _ in range(m.n_columns):
        if at >= size:
            return False
        if p[at] == 0:
            at += 1
            continue
        if at + 9 > size:
            return False
        if p[at] == 1:
            at += 9
            continue
        if p[at] != 2:
            return False
        memcpy(&text, p + at + 1, 8)
        if text < 0 or text > size - at - 9:
            return False
        at += 9 + text
    return at == size


cdef int keymap_restore(KeyMap *m, const uint8_t *data, int64_t size) noexcept nogil:
    """Fills an empty map from what keymap_save wrote; STATUS_STATE if that is not whole."""
    cdef int64_t head[3]
    cdef int64_t i, end, begin = 0
    cdef uint32_t id = 0
    cdef uint64_t number
    cdef int status
    cdef const uint8_t *keys
    if size < 24:
        return STATUS_STATE
    memcpy(head, data, 24)
    if head[0] < 0 or head[0] > (size - 24) // 8 or head[2] < 0:
        return STATUS_STATE
    keys = data + 24
    if m.single:
        if size != 24 + 8 * head[0]:
            return STATUS_STATE
        for i in range(head[0]):
            memcpy(&number, keys + 8 * i, 8)
            if i == head[1]:
                status = find_null(m, &id)
            else:
                status = find_number(m, number, hash_u64(number, m.seed), &id)
            if status != STATUS_OK:
                return status
            if id != i:
                return STATUS_STATE
        return STATUS_OK
    if head[2] != size - 24 - 8 * head[0]:
        return STATUS_STATE
    for i in range(head[0]):
        memcpy(&end, keys + 8 * i, 8)
        if end < begin or end > head[2] or not key_is_whole(m, keys + 8 * head[0] + begin, end - begin):
            return STATUS_STATE
        status = find_bytes(m, keys + 8 * head[0] + begin, end - begin, &id)
        if status != STATUS_OK:
            return status
        if id != i:
            return STATUS_STATE
        begin = end
    return STATUS_OK if begin == head[2] else STATUS_STATE
