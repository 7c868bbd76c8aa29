"""Seek: indexes over the rows of the history, for threads that wait.

What        A thread waits if the next row leaves it where it is, unless it takes one of its few ways out: `X*` without a
            condition in `A X*? B`, and B. What B asks of a row is then known: a condition of the row, a column equal to a
            value of the match so far (`B.account = A.target`), or less or greater than one. An attempt all of whose
            threads wait goes straight to the next row that some exit asks for; what else the definition asks, the step
            there finds out. So an attempt costs what happens to it, and not the rows that pass.
Chains      for equality: rows of equal partition and value are linked; a hash table has the first and the last of each. Rows
            before the first start that is still possible are dropped from the front when a search comes by.
Trees       for order, and for conditions of the row: the smallest and largest value of every 64 rows, of every 64 of these
            blocks, and so on; a search skips the blocks that cannot have what it asks for. Only without PARTITION BY, where
            neighbours in the history are neighbours in the partition.
Invariants  an index may give a row too many, never one too few: NaN and NULL fit nothing; texts are compared by hash.
Cost        20 to 50 ns a row for a chain, 3 ns for a tree; a search one cache line, or some 10 to 100 ns in a tree.
Source      waiting attempts found by value: the hash and range indexes of CEP engines (Cayuga, CIDR 2007), here over rows.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from .aggregate cimport Datum, datum_read, text_at
from .hash cimport hash_bytes, hash_u64
from .history cimport NO_ROW, History
from .registers cimport TYPE_F64, TYPE_STR, TYPE_U64
from .status cimport STATUS_NO_MEMORY, STATUS_OK
from .vector cimport Str


cdef void seeks_free(Seeks *s) noexcept nogil:
    """The indexes; the exits too, which their maker filled in."""
    cdef int i, k
    for i in range(s.n_chains):
        free(s.chains[i].slots)
        free(s.chains[i].key)
        free(s.chains[i].following)
    for i in range(s.n_trees):
        for k in range(6):
            free(s.trees[i].low[k])
            free(s.trees[i].high[k])
    free(s.chains)
    free(s.trees)
    free(s.exits)
    free(s.n_exits)
    memset(s, 0, sizeof(Seeks))


cdef bint seek_below(int type, uint64_t a, uint64_t b) noexcept nogil:
    cdef double x, y
    if type == TYPE_F64:
        memcpy(&x, &a, 8)
        memcpy(&y, &b, 8)
        return x < y
    if type == TYPE_U64:
        return a < b
    return <int64_t>a < <int64_t>b


cdef bint is_nan(int type, uint64_t word) noexcept nogil:
    cdef double x
    if type != TYPE_F64:
        return False
    memcpy(&x, &word, 8)
    return x != x


cdef uint64_t seek_word(int type, uint64_t word, const uint8_t *data, int64_t size) noexcept nogil:
    cdef double x
    if type == TYPE_STR:
        return hash_bytes(data, size, 0)
    if type == TYPE_F64:
        memcpy(&x, &word, 8)
        if x == 0.0:
            return 0            # -0.0 = 0.0
    return word


cdef uint64_t chain_key(uint64_t value, int32_t track) noexcept nogil:
    return hash_u64(value, <uint64_t>track * 0x9e3779b97f4a7c15ull + 1) | 1


# ---------------------------------------------------------------- chains

cdef int chain_grow(Chain *c) noexcept nogil:
    cdef int64_t capacity = 2 * c.capacity if c.capacity else 256, i, at
    cdef ChainSlot *slots = <ChainSlot *>calloc(capacity, sizeof(ChainSlot))
    if slots == NULL:
        return STATUS_NO_MEMORY
    for i in range(c.capacity):
        if c.slots[i].key:
            at = <int64_t>(c.slots[i].key >> 7) & (capacity - 1)
            while slots[at].key:
                at = (at + 1) & (capacity - 1)
            slots[at] = c.slots[i]
    free(c.slots)
    c.slots = slots
    c.capacity = capacity
    return STATUS_OK


cdef ChainSlot *chain_slot(Chain *c, uint64_t key) noexcept nogil:
    """Its slot, or the free one where it would be."""
    cdef int64_t at = <int64_t>(key >> 7) & (c.capacity - 1)
    while c.slots[at].key and c.slots[at].key != key:
        at = (at + 1) & (c.capacity - 1)
    return &c.slots[at]


cdef int chain_add(Chain *c, const History *h, int32_t row, int32_t track) noexcept nogil:
    cdef Datum d
    cdef Str text
    cdef uint64_t key
    cdef ChainSlot *slot
    text.data = NULL
    text.size = 0
    c.following[row] = NO_ROW
    c.key[row] = 0
    datum_read(&d, c.type, &h.columns[c.column], row)
    if not d.valid or is_nan(c.type, d.word):
        return STATUS_OK
    if c.type == TYPE_STR:
        text_at(d.column, d.row, &text)
    key = chain_key(seek_word(c.type, d.word, text.data, text.size), track)
    c.key[row] = key
    if 2 * c.used >= c.capacity and chain_grow(c) != STATUS_OK:
        return STATUS_NO_MEMORY
    slot = chain_slot(c, key)
    if slot.key == 0:
        slot.key = key
        slot.first = NO_ROW
        c.used += 1
    if slot.first == NO_ROW:
        slot.first = row
    else:
        c.following[slot.last] = row
    slot.last = row
    return STATUS_OK


# ---------------------------------------------------------------- trees

cdef int level_add(Tree *t, int level, int64_t at, uint64_t low, uint64_t high, bint first) noexcept nogil:
    """Block `at` of a level takes in a value; `first`: it is its first."""
    cdef int64_t room
    cdef void *p
    if at >= t.room[level]:
        room = 2 * at + 64
        p = realloc(t.low[level], room * 8)
        if p == NULL:
            return STATUS_NO_MEMORY
        t.low[level] = <uint64_t *>p
        p = realloc(t.high[level], room * 8)
        if p == NULL:
            return STATUS_NO_MEMORY
        t.high[level] = <uint64_t *>p
        t.room[level] = room
    if first:
        t.low[level][at] = low
        t.high[level][at] = high
    elif t.column < 0:
        t.low[level][at] |= low
    else:
        if seek_below(t.type, low, t.low[level][at]) or is_nan(t.type, t.low[level][at]):
            t.low[level][at] = low
        if seek_below(t.type, t.high[level][at], high) or is_nan(t.type, t.high[level][at]):
            t.high[level][at] = high
    return STATUS_OK


cdef int tree_add(Tree *t, const History *h, int32_t row) noexcept nogil:
    """Rows come in order, each once; a row that is not a row of the partition (a neighbour) does no harm."""
    cdef Datum d
    cdef uint64_t low, high
    cdef int64_t at = row
    cdef int level, status
    if t.column < 0:
        low = high = h.mask[row]
    else:
        datum_read(&d, t.type, &h.columns[t.column], row)
        low = high = d.word
        if not d.valid:
            # NULL fits nothing: the block's neutral value, which nothing is below and nothing above.
            low = largest(t.type)
            high = smallest(t.type)
    for level in range(6):
        at //= SEEK_FAN
        # The first row ever of a block is the one that opens it; rows may have been left out before it.
        status = level_add(t, level, at, low, high, at >= t.opened[level])
        if status != STATUS_OK:
            return status
        if at >= t.opened[level]:
            t.opened[level] = at + 1
        if at == 0:
            t.n_levels = max(t.n_levels, level + 1)
            break
    t.n_rows = row + 1
    return STATUS_OK


cdef inline uint64_t largest(int type) noexcept nogil:
    cdef double x = 1e308 * 10
    cdef uint64_t word
    if type == TYPE_F64:
        memcpy(&word, &x, 8)
        return word
    return 0xFFFFFFFFFFFFFFFFull if type == TYPE_U64 else 0x7FFFFFFFFFFFFFFFull


cdef inline uint64_t smallest(int type) noexcept nogil:
    cdef double x = -1e308 * 10
    cdef uint64_t word
    if type == TYPE_F64:
        memcpy(&word, &x, 8)
        return word
    return 0 if type == TYPE_U64 else 0x8000000000000000ull


cdef inline bint block_may(const Tree *t, const Exit *e, uint64_t value, int level, int64_t at) noexcept nogil:
    """Whether some row of a block may fit."""
    if t.column < 0:
        return (t.low[level][at] >> e.condition) & 1
    if e.kind == SEEK_LESS:
        return seek_below(t.type, t.low[level][at], value)
    if e.kind == SEEK_LESS_EQUAL:
        return not seek_below(t.type, value, t.low[level][at])
    if e.kind == SEEK_GREATER:
        return seek_below(t.type, value, t.high[level][at])
    return not seek_below(t.type, t.high[level][at], value)


cdef int32_t tree_next(const Tree *t, const Seeks *s, const History *h, const Exit *e, uint64_t value,
                       int64_t at) noexcept nogil:
    """The first row from `at` on that fits."""
    cdef int level
    cdef int64_t block
    while at < t.n_rows:
        if at % SEEK_FAN:
            if seek_fits(s, h, e, value, 0, <int32_t>at):
                return <int32_t>at
            at += 1
            continue
        # At the start of a block: over as many blocks, as large as can be, as have nothing.
        level = 0
        block = at // SEEK_FAN
        if block_may(t, e, value, 0, block):
            while True:
                if seek_fits(s, h, e, value, 0, <int32_t>at):
                    return <int32_t>at
                at += 1
                if at % SEEK_FAN == 0 or at >= t.n_rows:
                    break
            continue
        while level + 1 < t.n_levels and block % SEEK_FAN == 0 and not block_may(t, e, value, level + 1, block // SEEK_FAN):
            block //= SEEK_FAN
            level += 1
        at = block + 1
        while level >= 0:
            at *= SEEK_FAN
            level -= 1
    return NO_ROW


# ---------------------------------------------------------------- both

cdef int reserve(Seeks *s, const History *h) noexcept nogil:
    cdef int i
    cdef void *p
    if h.n_rows <= s.room:
        return STATUS_OK
    for i in range(s.n_chains):
        p = realloc(s.chains[i].key, h.room * sizeof(uint64_t))
        if p == NULL:
            return STATUS_NO_MEMORY
        s.chains[i].key = <uint64_t *>p
        p = realloc(s.chains[i].following, h.room * sizeof(int32_t))
        if p == NULL:
            return STATUS_NO_MEMORY
        s.chains[i].following = <int32_t *>p
    s.room = h.room
    return STATUS_OK


cdef int seeks_add(Seeks *s, const History *h, int32_t row, int32_t track) noexcept nogil:
    cdef int i, status = reserve(s, h)
    for i in range(s.n_chains):
        if status == STATUS_OK:
            status = chain_add(&s.chains[i], h, row, track)
    for i in range(s.n_trees):
        if status == STATUS_OK:
            status = tree_add(&s.trees[i], h, row)
    return status


cdef int seeks_rebuild(Seeks *s, const History *h) noexcept nogil:
    cdef int i
    cdef int32_t row
    cdef int status = STATUS_OK
    for i in range(s.n_chains):
        if s.chains[i].slots != NULL:
            memset(s.chains[i].slots, 0, s.chains[i].capacity * sizeof(ChainSlot))
        s.chains[i].used = 0
    for i in range(s.n_trees):
        s.trees[i].n_levels = 0
        s.trees[i].n_rows = 0
        memset(s.trees[i].opened, 0, sizeof(s.trees[i].opened))
    for row in range(h.n_rows):
        if status == STATUS_OK:
            status = seeks_add(s, h, row, h.track[row])
    return status


cdef inline bint compares(const History *h, int kind, int column, int type, uint64_t value, int32_t row) noexcept nogil:
    cdef Datum d
    datum_read(&d, type, &h.columns[column], row)
    if not d.valid:
        return False
    if kind == SEEK_LESS:
        return seek_below(type, d.word, value)
    if kind == SEEK_LESS_EQUAL:
        return not seek_below(type, value, d.word)
    if kind == SEEK_GREATER:
        return seek_below(type, value, d.word)
    return not seek_below(type, d.word, value)


cdef bint seek_also(const History *h, const Exit *e, uint64_t also, int32_t row) noexcept nogil:
    return e.also < 0 or compares(h, e.also, e.also_column, e.also_type, also, row)


cdef bint seek_fits(const Seeks *s, const History *h, const Exit *e, uint64_t value, uint64_t also,
                    int32_t row) noexcept nogil:
    cdef const Tree *t
    if e.condition >= 0 and not (h.mask[row] >> e.condition) & 1:
        return False
    if e.kind == SEEK_MASK:
        return True
    if e.kind == SEEK_EQUAL:
        return s.chains[e.index].key[row] == chain_key(value, h.track[row]) and seek_also(h, e, also, row)
    t = &s.trees[e.index]
    return compares(h, e.kind, t.column, t.type, value, row)


cdef int32_t seek_next(Seeks *s, const History *h, const Exit *e, uint64_t value, uint64_t also, int32_t after, int32_t dead,
                       int32_t track) noexcept nogil:
    cdef Chain *c
    cdef ChainSlot *slot
    cdef int32_t row
    if e.kind != SEEK_EQUAL:
        row = tree_next(&s.trees[e.index], s, h, e, value, <int64_t>after + 1)
        return row
    c = &s.chains[e.index]
    if c.capacity == 0:
        return NO_ROW
    slot = chain_slot(c, chain_key(value, track))
    if slot.key == 0 or slot.first == NO_ROW or slot.last <= after:
        return NO_ROW
    while slot.first != NO_ROW and slot.first <= dead:
        slot.first = c.following[slot.first]
    row = slot.first
    while row != NO_ROW and (row <= after or (e.condition >= 0 and not (h.mask[row] >> e.condition) & 1)
                             or not seek_also(h, e, also, row)):
        row = c.following[row]
    return row
