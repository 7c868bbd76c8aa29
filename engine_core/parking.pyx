"""Parking: the attempts that wait, by what they wait for.

What        With SKIP TO NEXT ROW every start is an attempt of its own at once, and most of them wait (seek): for a row whose
            account is theirs, whose amount is above theirs, that meets a condition. Each such attempt leaves a ticket per
            way out, and is not looked at until a row calls for one of its tickets. So a row costs those that it moves.
Buckets     equality: a hash table of partition and value; a bucket's tickets are a list.
Heaps       `>` and `>=`: the smallest value first; `<` and `<=`: the largest; a row calls tickets off the top while they
            fit. Conditions: a list, all of whose tickets a row that meets the condition calls.
Void        a ticket is void when its attempt has gone or was moved by another of its tickets; it goes when it is called, or
            when void ones are most of all and everything is issued anew.
Invariants  a parked attempt has a ticket for each exit of each of its threads that can ever be taken.
Cost        issuing and calling: a hash look-up, or the logarithm of a heap.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from .aggregate cimport Datum, datum_read
from .captures cimport KEY_ANY, KEY_NULL, Definitions
from .seek cimport (EXITS_MAX, SEEK_EQUAL, SEEK_GREATER, SEEK_LESS, SEEK_LESS_EQUAL, SEEK_MASK, Exit,
                    chain_key, is_nan, seek_also, seek_below)
from .status cimport STATUS_NO_MEMORY, STATUS_OK
from .threads cimport NONE, Attempt, Bucket, Heap, Parking, Threads, Ticket, attempt_key


cdef int parking_init(Threads *t) noexcept nogil:
    cdef Parking *p = &t.parking
    cdef int i
    p.spare = NONE
    p.buckets = <Bucket **>calloc(t.seeks.n_chains + 1, sizeof(Bucket *))
    p.capacity = <int64_t *>calloc(t.seeks.n_chains + 1, sizeof(int64_t))
    p.used = <int64_t *>calloc(t.seeks.n_chains + 1, sizeof(int64_t))
    p.heaps = <Heap *>calloc(4 * t.seeks.n_trees + 1, sizeof(Heap))
    if p.buckets == NULL or p.capacity == NULL or p.used == NULL or p.heaps == NULL:
        return STATUS_NO_MEMORY
    for i in range(4 * t.seeks.n_trees):
        p.heaps[i].tree = i // 4
        p.heaps[i].kind = SEEK_LESS + i % 4
    return STATUS_OK


cdef void parking_free(Threads *t) noexcept nogil:
    cdef Parking *p = &t.parking
    cdef int i
    if p.buckets != NULL:
        for i in range(t.seeks.n_chains):
            free(p.buckets[i])
    if p.heaps != NULL:
        for i in range(4 * t.seeks.n_trees):
            free(p.heaps[i].tickets)
    free(p.buckets)
    free(p.capacity)
    free(p.used)
    free(p.tickets)
    free(p.heaps)
    free(p.woken)
    memset(p, 0, sizeof(Parking))


# ---------------------------------------------------------------- buckets

cdef Bucket *bucket_at(const Parking *p, int chain, uint64_t key) noexcept nogil:
    cdef int64_t mask = p.capacity[chain] - 1
    cdef int64_t at = <int64_t>(key >> 7) & mask
    while p.buckets[chain][at].key and p.buckets[chain][at].key != key:
        at = (at + 1) & mask
    return &p.buckets[chain][at]


cdef int buckets_grow(Parking *p, int chain) noexcept nogil:
    """Twice the room, without the buckets that nobody waits in."""
    cdef int64_t capacity = p.capacity[chain], i
    cdef Bucket *old = p.buckets[chain]
    cdef Bucket *made
    for i in range(capacity):
        p.used[chain] -= old[i].key != 0 and old[i].first == NONE
    p.capacity[chain] = 256 if capacity == 0 else (capacity if 4 * p.used[chain] < capacity else 2 * capacity)
    made = <Bucket *>calloc(p.capacity[chain], sizeof(Bucket))
    if made == NULL:
        p.capacity[chain] = capacity
        return STATUS_NO_MEMORY
    p.buckets[chain] = made
    for i in range(capacity):
        if old[i].key and old[i].first != NONE:
            bucket_at(p, chain, old[i].key)[0] = old[i]
    free(old)
    return STATUS_OK


cdef int bucket_add(Parking *p, int chain, uint64_t key, const Ticket *ticket) noexcept nogil:
    cdef int32_t at = p.spare
    cdef int64_t room
    cdef Bucket *bucket
    cdef void *memory
    if 2 * p.used[chain] >= p.capacity[chain] and buckets_grow(p, chain) != STATUS_OK:
        return STATUS_NO_MEMORY
    if at != NONE:
        p.spare = p.tickets[at].following
    else:
        if p.n_tickets == p.room:
            room = 2 * <int64_t>p.room + 64
            if room > 0x7fffffff:
                return STATUS_NO_MEMORY
            memory = realloc(p.tickets, room * sizeof(Ticket))
            if memory == NULL:
                return STATUS_NO_MEMORY
            p.tickets = <Ticket *>memory
            p.room = <int32_t>room
        at = p.n_tickets
        p.n_tickets += 1
    bucket = bucket_at(p, chain, key)
    if bucket.key == 0:
        bucket.key = key
        bucket.first = NONE
        p.used[chain] += 1
    p.tickets[at] = ticket[0]
    p.tickets[at].following = bucket.first
    bucket.first = at
    return STATUS_OK


# ---------------------------------------------------------------- heaps

cdef inline bint first_of(int kind, int type, uint64_t a, uint64_t b) noexcept nogil:
    return seek_below(type, a, b) if kind >= SEEK_GREATER else seek_below(type, b, a)


cdef int heap_push(Heap *h, int type, const Ticket *ticket) noexcept nogil:
    cdef int64_t i = h.n, up, room
    cdef void *p
    if i == h.room:
        room = 2 * i + 64
        p = realloc(h.tickets, room * sizeof(Ticket))
        if p == NULL:
            return STATUS_NO_MEMORY
        h.tickets = <Ticket *>p
        h.room = room
    h.n += 1
    while i:
        up = (i - 1) >> 1
        if not first_of(h.kind, type, ticket.value, h.tickets[up].value):
            break
        h.tickets[i] = h.tickets[up]
        i = up
    h.tickets[i] = ticket[0]
    return STATUS_OK


cdef void heap_pop(Heap *h, int type) noexcept nogil:
    cdef int64_t i = 0, child
    cdef Ticket last
    h.n -= 1
    last = h.tickets[h.n]
    while True:
        child = 2 * i + 1
        if child >= h.n:
            break
        if child + 1 < h.n and first_of(h.kind, type, h.tickets[child + 1].value, h.tickets[child].value):
            child += 1
        if not first_of(h.kind, type, h.tickets[child].value, last.value):
            break
        h.tickets[i] = h.tickets[child]
        i = child
    h.tickets[i] = last


# ---------------------------------------------------------------- taking and waking

cdef bint parking_take(Threads *t, int32_t attempt, Definitions d) noexcept nogil:
    cdef Attempt *a = &t.attempts[attempt]
    cdef Parking *p = &t.parking
    cdef int32_t thread = a.threads
    cdef const Exit *e
    cdef Ticket ticket
    cdef Heap *heap
    cdef int i, status = STATUS_OK
    a.ticket += 1               # what it left before is void
    while thread != NONE:
        for i in range(t.seeks.n_exits[t.threads[thread].position]):
            if attempt_key(t, a, thread, i, d) == KEY_ANY:
                return False
        thread = t.threads[thread].next
    thread = a.threads
    while thread != NONE and status == STATUS_OK:
        for i in range(t.seeks.n_exits[t.threads[thread].position]):
            e = &t.seeks.exits[t.threads[thread].position * EXITS_MAX + i]
            if e.key >= 0 and t.threads[thread].key_state[i] == KEY_NULL:
                continue
            ticket.value = t.threads[thread].value[i]
            ticket.also = t.threads[thread].also[i]
            ticket.exit = e
            ticket.attempt = attempt
            ticket.number = a.ticket
            ticket.condition = e.condition
            ticket.following = NONE
            p.issued += 1
            if e.kind == SEEK_EQUAL:
                status = bucket_add(p, e.index, chain_key(ticket.value, a.track), &ticket)
            else:
                # A condition's tickets are all alike: their heap is a list.
                heap = &p.heaps[4 * e.index + (0 if e.kind == SEEK_MASK else e.kind - SEEK_LESS)]
                if e.kind == SEEK_MASK:
                    ticket.value = 0
                status = heap_push(heap, t.seeks.trees[e.index].type, &ticket)
            if status != STATUS_OK:
                return False
        thread = t.threads[thread].next
    return True


cdef inline bint is_void(const Threads *t, const Ticket *ticket) noexcept nogil:
    cdef const Attempt *a = &t.attempts[ticket.attempt]
    return not a.used or not a.parked or a.ticket != ticket.number


cdef int wake(Threads *t, const Ticket *ticket, int32_t row) noexcept nogil:
    cdef Parking *p = &t.parking
    cdef Attempt *a = &t.attempts[ticket.attempt]
    cdef int64_t room
    cdef void *memory
    p.issued -= 1
    if is_void(t, ticket):
        return STATUS_OK
    if p.n_woken == p.woken_room:
        room = 2 * <int64_t>p.woken_room + 64
        memory = realloc(p.woken, room * sizeof(int32_t))
        if memory == NULL:
            return STATUS_NO_MEMORY
        p.woken = <int32_t *>memory
        p.woken_room = <int32_t>room
    p.woken[p.n_woken] = ticket.attempt
    p.n_woken += 1
    a.parked = 0
    a.cursor = t.history.before[row]        # none of the rows before could move it
    return STATUS_OK


cdef int wake_bucket(Threads *t, int chain, int32_t row) noexcept nogil:
    cdef Parking *p = &t.parking
    cdef Bucket *bucket
    cdef int32_t at, following, kept = NONE
    cdef int status = STATUS_OK
    if p.capacity[chain] == 0 or t.seeks.chains[chain].key[row] == 0:
        return STATUS_OK
    bucket = bucket_at(p, chain, t.seeks.chains[chain].key[row])
    if bucket.key == 0:
        return STATUS_OK
    at = bucket.first
    while at != NONE:
        following = p.tickets[at].following
        if ((p.tickets[at].condition >= 0 and not (t.history.mask[row] >> p.tickets[at].condition) & 1)
                or not seek_also(&t.history, p.tickets[at].exit, p.tickets[at].also, row)) \
                and not is_void(t, &p.tickets[at]):
            p.tickets[at].following = kept
            kept = at
        else:
            if status == STATUS_OK:
                status = wake(t, &p.tickets[at], row)
            p.tickets[at].following = p.spare
            p.spare = at
        at = following
    bucket.first = kept
    return status


cdef int wake_heap(Threads *t, Heap *h, int32_t row) noexcept nogil:
    cdef int type = t.seeks.trees[h.tree].type
    cdef int column = t.seeks.trees[h.tree].column
    cdef int64_t i, kept = 0
    cdef Datum d
    cdef Ticket ticket
    cdef Ticket *held = NULL
    cdef int64_t n_held = 0
    cdef void *memory
    cdef int status = STATUS_OK
    if h.n == 0:
        return STATUS_OK
    if column < 0:
        for i in range(h.n):
            if (t.history.mask[row] >> h.tickets[i].condition) & 1 or is_void(t, &h.tickets[i]):
                if status == STATUS_OK:
                    status = wake(t, &h.tickets[i], row)
            else:
                h.tickets[kept] = h.tickets[i]
                kept += 1
        h.n = kept
        return status
    datum_read(&d, type, &t.history.columns[column], row)
    if not d.valid or is_nan(type, d.word):
        return STATUS_OK
    while h.n and status == STATUS_OK:
        ticket = h.tickets[0]
        if h.kind == SEEK_LESS:
            if not seek_below(type, d.word, ticket.value):
                break
        elif h.kind == SEEK_LESS_EQUAL:
            if seek_below(type, ticket.value, d.word):
                break
        elif h.kind == SEEK_GREATER:
            if not seek_below(type, ticket.value, d.word):
                break
        elif seek_below(type, d.word, ticket.value):
            break
        heap_pop(h, type)
        if ticket.condition >= 0 and not (t.history.mask[row] >> ticket.condition) & 1 and not is_void(t, &ticket):
            memory = realloc(held, (n_held + 1) * sizeof(Ticket))
            if memory == NULL:
                status = STATUS_NO_MEMORY
                break
            held = <Ticket *>memory
            held[n_held] = ticket
            n_held += 1
            continue
        status = wake(t, &ticket, row)
    for i in range(n_held):
        if status == STATUS_OK:
            status = heap_push(h, type, &held[i])
    free(held)
    return status


cdef int parking_wake(Threads *t, int32_t row, int32_t track) noexcept nogil:
    cdef int i, status = STATUS_OK
    t.parking.n_woken = 0
    for i in range(t.seeks.n_chains):
        if status == STATUS_OK:
            status = wake_bucket(t, i, row)
    for i in range(4 * t.seeks.n_trees):
        if status == STATUS_OK:
            status = wake_heap(t, &t.parking.heaps[i], row)
    return status


cdef int parking_tidy(Threads *t, Definitions d) noexcept nogil:
    cdef Parking *p = &t.parking
    cdef int i
    cdef int32_t at
    if p.issued <= 4 * t.n_open + 1024:
        return STATUS_OK
    for i in range(t.seeks.n_chains):
        if p.buckets[i] != NULL:
            memset(p.buckets[i], 0, p.capacity[i] * sizeof(Bucket))
        p.used[i] = 0
    for i in range(4 * t.seeks.n_trees):
        p.heaps[i].n = 0
    p.n_tickets = 0
    p.spare = NONE
    p.issued = 0
    for at in range(t.n_attempts):
        if t.attempts[at].used and t.attempts[at].parked and not parking_take(t, at, d):
            return STATUS_NO_MEMORY
    return STATUS_OK
