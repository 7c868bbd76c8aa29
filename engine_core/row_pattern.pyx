"""What the two operators of row patterns have in common: PatternMatcher (matcher.pyx), whose conditions read single rows,
and ThreadMatcher (thread_matcher.pyx), whose definitions may read the match so far.

Flow        per batch      check the order of the rows, prepare dictionaries; if conditions can fault, all of them are
                           evaluated first, so that a refused batch changes nothing;
            per chunk      conditions -> masks, partition numbers -> attempts step;
            then           remembered PREV values and the last row's order move on; finished matches go out.
Shared      by partition (operator.pxd): `prepare` gives each row its owner, `take` steps the rows of one instance.
State       the subclass's, between a head (magic, fingerprint of the plan, CRC) and what is common: partition keys, order,
            remembered PREV values. `restore` fills a second operator and exchanges the states only if all of it is whole.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from .batch cimport BatchC
from .blob cimport Blob, Reader, blob_i64, blob_put, reader_count, reader_i64
from .column cimport Column
from .keymap cimport keymap_prepare, keymap_restore, keymap_save
from .lag cimport lag_begin, lag_commit, lag_reserve, lag_restore, lag_save, lag_undo
from .operator cimport SPREAD_KEYS, SPREAD_WHOLE, STAGE_LIMIT, Operator, Piece
from .ordering cimport (ordering_bind, ordering_check, ordering_commit, ordering_free, ordering_init, ordering_restore,
                        ordering_save)
from .owner cimport owners_find, owners_free, owners_halve, owners_split
from .registers cimport CHUNK
from .status cimport (STATUS_CAPACITY, STATUS_CLOSED, STATUS_NO_MEMORY, STATUS_NULL_TIME, STATUS_OK, STATUS_STATE,
                      STATUS_UNSORTED, Fault, fault_set)

import zlib

from .status import StateError


cdef class RowPattern(Operator):
    """The operator of one row pattern, without the way in which its attempts step."""

    cdef int _bind(self, dict plan, bint within) except -1:
        """Order, partitions, and which columns the conditions read. ValueError: a number is out of range."""
        cdef list keys = plan["keys"]
        cdef int i, n_columns
        self.plan = plan
        self.input = plan["input"]
        self.output = plan["output"]
        self.conditions = plan["conditions"]
        n_columns = len(self.input.names)
        if within and (plan["within"] < 1 or not plan["timed"]):
            raise ValueError("WITHIN needs a positive interval and a time column")
        for i in range(self.conditions.program.n_inputs):
            if self.conditions.sources[i].lag < 0 and self.conditions.sources[i].column >= n_columns:
                raise ValueError("a condition reads a column that is not there")
        for i in range(self.conditions.lags.n_columns):
            if not 0 <= self.conditions.lags.columns[i].column < n_columns:
                raise ValueError("a lag reads a column that is not there")
        self.key_columns = <int32_t *>calloc(len(keys) + 1, sizeof(int32_t))
        self.keys = <const Column **>calloc(len(keys) + 1, sizeof(void *))
        if self.key_columns == NULL or self.keys == NULL:
            raise MemoryError("no memory for a matcher")
        ordering_bind(&self.ordering, plan["order"], plan["timed"], within, n_columns)
        if ordering_init(&self.ordering) != STATUS_OK:
            raise MemoryError("no memory for a matcher")
        self.n_keys = len(keys)
        for i in range(self.n_keys):
            self.key_columns[i] = keys[i]
            if not 0 <= self.key_columns[i] < n_columns:
                raise ValueError(f"no partition column {keys[i]}")
        self.spread = SPREAD_KEYS if self.n_keys else SPREAD_WHOLE
        return 0

    def __dealloc__(self):
        ordering_free(&self.ordering)
        free(self.key_columns)
        free(self.keys)
        free(self.split_rows)
        free(self.split_letters)
        free(self.split_owners)
        owners_free(&self.owners)

    # ------------------------------------------------------------ one batch

    cdef int _bind_keys(self, const BatchC *batch) noexcept nogil:
        cdef int i
        for i in range(self.n_keys):
            self.keys[i] = &batch.columns[self.key_columns[i]]
        return STATUS_OK

    cdef int _begin(self, BatchC *batch, int64_t n_rows, bint picked, Fault *fault) noexcept nogil:
        """Before the first condition of a batch; nothing has changed if it fails."""
        cdef int status = self._reserve(n_rows if self.conditions.can_fault and n_rows > CHUNK else CHUNK)
        self._bind_keys(batch)
        if status == STATUS_OK:
            status = keymap_prepare(self.keymap, self.keys, n_rows)
        if status == STATUS_OK:
            status = lag_begin(&self.conditions.lags, n_rows, self.keymap.count)
        if status == STATUS_OK:
            status = self.conditions.begin(batch.columns, n_rows, picked)
        if status != STATUS_OK:
            return fault_set(fault, status, -1, -1, 0, 0, NULL)
        return STATUS_OK

    cdef int judge(self, BatchC *batch, const Piece *pieces, int64_t n_pieces, Fault *fault) noexcept nogil:
        """All conditions of all rows, into the buffers."""
        cdef int64_t i, begin, size, n = 0, at = 0
        cdef int status
        if self.finished or self.broken:
            return STATUS_OK            # `take` will say so
        for i in range(n_pieces):
            n += pieces[i].n
        status = self._begin(batch, n, n_pieces and pieces[0].rows != NULL, fault)
        for i in range(n_pieces):
            for begin from 0 <= begin < pieces[i].n by CHUNK:
                if status != STATUS_OK:
                    break
                size = pieces[i].n - begin if pieces[i].n - begin < CHUNK else CHUNK
                status = self._evaluate(batch, &pieces[i], begin, size, at, fault)
                at += size
                if status != STATUS_OK:
                    if fault.code != status:
                        fault_set(fault, status, -1, -1, 0, 0, NULL)
                    fault.stage = STAGE_CONDITION
        self.judged = True
        return status

    cdef void retract(self) noexcept nogil:
        if self.judged:
            lag_undo(&self.conditions.lags)
        self.judged = False

    cdef int _run(self, BatchC *batch, int64_t base_sequence, const Piece *pieces, int64_t n_pieces,
                  Fault *fault) noexcept nogil:
        """The step over all pieces, and what follows a batch. The batch was found to be in order."""
        cdef int64_t n = batch.n_rows, i, begin, size, at = 0
        cdef int status = STATUS_OK
        cdef bint shared = n_pieces == 0 or pieces[0].rows != NULL
        if not self.judged:
            status = self._begin(batch, n, shared, fault)
            if status != STATUS_OK:
                return status
        self._enter(batch, base_sequence)
        for i in range(n_pieces):
            for begin from 0 <= begin < pieces[i].n by CHUNK:
                size = pieces[i].n - begin if pieces[i].n - begin < CHUNK else CHUNK
                if not self.judged and pieces[i].letters == NULL:
                    status = self._evaluate(batch, &pieces[i], begin, size, 0, fault)
                if status == STATUS_OK:
                    status = self._step(batch, &pieces[i], begin, size, at if self.judged else 0, base_sequence)
                at += size
                if status != STATUS_OK:
                    self.broken = True
                    return status
        self.judged = False
        status = self._leave(batch, base_sequence, shared)
        if status == STATUS_OK:
            status = lag_commit(&self.conditions.lags)
        if status == STATUS_OK:
            status = ordering_commit(&self.ordering, batch.columns, n)
        self.next_sequence = base_sequence + n
        return status

    cdef int _ended(self, Fault *fault) noexcept nogil:
        return fault_set(fault, STATUS_CLOSED, -1, -1, 0, 0,
                         "the matcher ran out of memory and" if self.broken else
                         "the matcher has seen the end of its input and")

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        cdef int64_t n = batch.n_rows
        cdef Piece whole
        cdef int status
        out[0] = NULL
        if self.finished or self.broken:
            return self._ended(fault)
        if n == 0:
            return self._give(STATUS_OK, out, fault)
        if self.max_open > 0 and self._open() > self.max_open and self._expire() != STATUS_OK:
            self.broken = True
            return fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, NULL)
        if self.within_limits(self._open(), self.keymap.count, fault) != STATUS_OK:
            return fault.code
        if n > 0x7fffffff:
            return fault_set(fault, STATUS_CAPACITY, -1, -1, n, 0x7fffffff, "the rows of a batch")
        status = ordering_check(&self.ordering, batch.columns, 0, n, True, fault)
        if status != STATUS_OK:
            return status
        whole.rows = NULL
        whole.letters = NULL
        whole.start = 0
        whole.n = n
        if self.conditions.can_fault:
            status = self.judge(batch, &whole, 1, fault)
            if status != STATUS_OK:
                self.retract()
                return status
        return self._give(self._run(batch, base_sequence, &whole, 1, fault), out, fault)

    # ------------------------------------------------------------ shared by partition

    cdef int _reserve_split(self, int64_t rows) noexcept nogil:
        if rows <= self.split_room:
            return STATUS_OK
        free(self.split_rows)
        free(self.split_letters)
        free(self.split_owners)
        self.split_room = 0
        self.split_rows = <int32_t *>malloc(rows * sizeof(int32_t))
        self.split_letters = <uint8_t *>malloc(rows)
        self.split_owners = <uint8_t *>malloc(rows)
        if self.split_rows == NULL or self.split_letters == NULL or self.split_owners == NULL:
            return STATUS_NO_MEMORY
        self.split_room = rows
        return STATUS_OK

    cdef int _split(self, int64_t start, int64_t n, int64_t kept, bint lettered, int shares, int32_t *rows,
                    uint8_t *letters, int32_t *ends) noexcept nogil:
        """The end of `prepare`: `kept` of the rows start .. start + n stand in split_rows, letters in split_letters."""
        cdef const int32_t *looked_up = NULL
        cdef uint8_t *given = NULL
        cdef int status
        if lettered:
            given = self.split_letters
        if owners_halve(self.keys, self.n_keys, self.split_rows, given, kept, shares, rows, letters, ends):
            return STATUS_OK
        if kept < n:
            looked_up = self.split_rows
        status = owners_find(&self.owners, self.keys, self.n_keys, looked_up, start, kept, shares, self.split_owners)
        if status == STATUS_OK:
            owners_split(self.split_owners, self.split_rows, given, kept, shares, rows, letters, ends)
        return status

    cdef int take(self, BatchC *batch, int64_t base_sequence, const Piece *pieces, int64_t n_pieces, BatchC **out,
                  Fault *fault) noexcept nogil:
        cdef int status
        out[0] = NULL
        if self.finished or self.broken:
            return self._ended(fault)
        # Within the batch `prepare` has looked; every instance finds the same here.
        status = ordering_check(&self.ordering, batch.columns, 0, 1, True, fault)
        if status != STATUS_OK:
            self.retract()
            return status
        return self._give(self._run(batch, base_sequence, pieces, n_pieces, fault), out, fault)

    # ------------------------------------------------------------ time and the end

    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil:
        out[0] = NULL
        if self.finished or self.broken:
            return self._ended(fault)
        if self.ordering.time >= 0 and (not self.ordering.has_watermark or time > self.ordering.watermark):
            self.ordering.watermark = time
            self.ordering.has_watermark = True
        return self._give(self._pass_time(time), out, fault)

    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil:
        cdef int status = STATUS_OK
        out[0] = NULL
        if self.broken:
            return self._ended(fault)
        if not self.finished:
            status = self._end()
        self.finished = True
        return self._give(status, out, fault)

    # ------------------------------------------------------------ binding

    cdef str context(self, const Fault *fault):
        if fault.stage == STAGE_LIMIT:
            return "no batch is taken until attempts have closed, or the trigger is set anew with a larger limit"
        if fault.code == STATUS_UNSORTED or fault.code == STATUS_NULL_TIME:
            return f"ORDER BY {self.input.names[fault.item]}"
        if fault.stage == STAGE_CONDITION and 0 <= fault.item < len(self.plan["condition_names"]):
            return self.plan["condition_names"][fault.item]
        return ""

    @property
    def partitions(self):
        """How many partitions have been seen."""
        return self.keymap.count

    @property
    def sequence(self):
        """The sequence behind the last event that was taken."""
        return self.next_sequence

    @property
    def open_attempts(self):
        """How many attempts (start rows) are open: the partial matches that are kept."""
        return self._open()

    cpdef bytes save(self):
        cdef Blob b
        cdef bytes keys = keymap_save(self.keymap)
        cdef bytes body, head
        if self.broken:
            raise StateError("the matcher ran out of memory and has no state to save")
        if self._waits():
            raise StateError("matches are waiting behind a fault; take them with advance() or push() before saving")
        if self._before_save() != STATUS_OK:
            raise MemoryError("no memory to save a matcher")
        memset(&b, 0, sizeof(Blob))
        blob_i64(&b, self.next_sequence)
        blob_i64(&b, self.finished)
        blob_i64(&b, len(keys))
        blob_put(&b, <const char *>keys, len(keys))
        ordering_save(&self.ordering, &b)
        lag_save(&self.conditions.lags, self.keymap.count if self.conditions.lagged else 0, &b)
        self._write(&b)
        if b.failed:
            free(b.data)
            raise MemoryError("no memory to save a matcher")
        body = (<const char *>b.data)[:b.used]
        free(b.data)
        head = self._magic() + self.plan["fingerprint"]
        return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body

    cpdef restore(self, bytes state):
        cdef Reader r
        cdef RowPattern fresh
        cdef int status
        cdef int64_t size
        cdef bytes body, head, magic = self._magic()
        if state[:len(magic)] != magic:
            raise StateError("these bytes are not a matcher's state of this version; nothing was restored")
        if state[len(magic):len(magic) + 16] != self.plan["fingerprint"]:
            raise StateError("this state belongs to another pattern or schema; nothing was restored")
        head, body = state[:len(magic) + 16], state[len(magic) + 20:]
        if zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") != state[len(head):len(head) + 4]:
            raise StateError("the saved state is torn (its checksum does not fit); nothing was restored")
        memset(&r, 0, sizeof(Reader))
        r.data = <const uint8_t *><const char *>body
        r.size = len(body)
        # All into this matcher only if it is whole: a second one is filled first.
        fresh = self._fresh()
        fresh.next_sequence = reader_i64(&r)
        fresh.finished = reader_i64(&r) != 0
        size = reader_count(&r, 1)
        # No stream is as long as 2^62; so numbers of rows and matches, which are smaller, can be counted on without care.
        status = STATUS_STATE if r.failed or not 0 <= fresh.next_sequence < <int64_t>1 << 62 else STATUS_OK
        if status == STATUS_OK:
            status = keymap_restore(fresh.keymap, r.data + r.at, size)
            r.at += size
        if status == STATUS_OK:
            status = ordering_restore(&fresh.ordering, &r)
        if status == STATUS_OK and fresh.conditions.lagged:
            status = lag_reserve(&fresh.conditions.lags, fresh.keymap.count)
            if status == STATUS_OK:
                status = lag_restore(&fresh.conditions.lags, fresh.keymap.count, &r)
        if status == STATUS_OK:
            status = fresh._read(&r)
        if status == STATUS_OK and (r.failed or r.at != r.size):
            status = STATUS_STATE
        if status == STATUS_NO_MEMORY:
            raise MemoryError("no memory to restore a matcher")
        if status != STATUS_OK:
            raise StateError("the saved state is not whole; nothing was restored")
        self.ordering, fresh.ordering = fresh.ordering, self.ordering
        self.conditions, fresh.conditions = fresh.conditions, self.conditions
        self.next_sequence = fresh.next_sequence
        self.finished = fresh.finished
        self._swap(fresh)

    # ------------------------------------------------------------ the subclass's part

    cdef int64_t _open(self) noexcept nogil:
        return 0

    cdef int _expire(self) noexcept nogil:
        return STATUS_OK

    cdef int _reserve(self, int64_t rows) noexcept nogil:
        return STATUS_OK

    cdef int _enter(self, BatchC *batch, int64_t base) noexcept nogil:
        return STATUS_OK

    cdef int _evaluate(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                       Fault *fault) noexcept nogil:
        return STATUS_OK

    cdef int _step(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                   int64_t base) noexcept nogil:
        return STATUS_OK

    cdef int _leave(self, BatchC *batch, int64_t base, bint shared) noexcept nogil:
        return STATUS_OK

    cdef int _pass_time(self, int64_t time) noexcept nogil:
        return STATUS_OK

    cdef int _end(self) noexcept nogil:
        return STATUS_OK

    cdef int _give(self, int status, BatchC **out, Fault *fault) noexcept nogil:
        return status

    cdef bytes _magic(self):
        return b""

    cdef bint _waits(self):
        return False

    cdef int _before_save(self) noexcept nogil:
        return STATUS_OK

    cdef void _write(self, Blob *b) noexcept nogil:
        pass

    cdef RowPattern _fresh(self):
        raise NotImplementedError(f"{type(self).__name__} is not to be restored")

    cdef int _read(self, Reader *r) noexcept nogil:
        return STATUS_STATE

    cdef int _swap(self, RowPattern other) except -1:
        return 0
