"""Shares: several instances of an operator, by partition, that one worker runs as one.

What        the state of a trigger was kept by k workers, each with its own partitions, and the engine that takes it up has
            another number of them. Its instances go on as they were, one after the other, on one worker: matches, their
            order and faults are those of any number of workers. What is lost is that they run at the same time.
Flow        as crew.pyx, on one thread: the rows of a batch are prepared once, then each instance judges and takes its own,
            and what all found is merged.
Faults      matches without a value wait here, all of them, until they have been told one by one (operator.pxd); what was
            found comes behind.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc

from .batch cimport BatchC, batch_release
from .merge cimport merge_matches
from .operator cimport SPREAD_WHOLE, STAGE_RESULT, Operator, Piece
from .owner cimport OWNERS_MAX
from .shard cimport clear
from .status cimport STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK, Fault, fault_set

from .status import StateError

MAGIC = b"shares1\0"


def split_state(bytes state):
    """The states of the instances in one that `Shares.save` gave; of any other, that one alone. StateError: it is torn.

    >>> split_state(b"another")
    [b'another']
    """
    cdef list found = []
    cdef int64_t at = 16, size, count
    if state[:8] != MAGIC:
        return [state]
    count = int.from_bytes(state[8:16], "little")
    while len(found) < count and at + 8 <= len(state):
        size = int.from_bytes(state[at:at + 8], "little", signed=True)
        if size < 0 or size > len(state) - at - 8:
            break
        found.append(state[at + 8:at + 8 + size])
        at += 8 + size
    if len(found) != count or at != len(state):
        raise StateError("the state of several instances is torn; nothing was restored")
    return found


cdef class Shares(Operator):
    """One operator of several.

    Args:
        operators: two or more of one plan, ranked.

    Raises:
        ValueError: they are not.
    """
    cdef tuple operators
    cdef PyObject **instances
    cdef int n
    cdef int32_t *rows          # room_rows of them, and their letters
    cdef uint8_t *letters
    cdef int64_t room
    cdef int32_t *ends
    cdef Piece *pieces
    cdef BatchC **found         # of the call under way, or whose faults are being told
    cdef int n_found
    cdef Fault *faults          # faults[told:n_faults] are to be told
    cdef int n_faults
    cdef int told
    cdef int faults_room
    cdef bint telling

    def __cinit__(self, operators):
        cdef int i
        cdef Operator one
        self.operators = tuple(operators)
        self.n = <int>len(self.operators)
        if not 2 <= self.n <= OWNERS_MAX:
            raise ValueError(f"{len(self.operators)} instances: there must be between 2 and {OWNERS_MAX}")
        self.instances = <PyObject **>calloc(self.n, sizeof(PyObject *))
        self.ends = <int32_t *>calloc(self.n, sizeof(int32_t))
        self.pieces = <Piece *>calloc(self.n, sizeof(Piece))
        self.found = <BatchC **>calloc(self.n, sizeof(BatchC *))
        if self.instances == NULL or self.ends == NULL or self.pieces == NULL or self.found == NULL:
            raise MemoryError("no memory for the instances of a trigger")
        for i in range(self.n):
            one = self.operators[i]
            if not one.ranked:
                raise ValueError("these operators are not made to share batches")
            self.instances[i] = <PyObject *>one
        one = self.operators[0]
        self.input = one.input
        self.output = one.output
        self.spread = SPREAD_WHOLE
        self.max_open = one.max_open
        self.max_keys = one.max_keys

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_found):
            batch_release(self.found[i])
        free(self.instances)
        free(self.ends)
        free(self.pieces)
        free(self.found)
        free(self.faults)
        free(self.rows)

    # ------------------------------------------------------------ what calls give

    cdef int _note(self, const Fault *fault, int status) noexcept nogil:
        cdef void *p
        cdef int room
        if self.n_faults == self.faults_room:
            room = 2 * self.faults_room + 8
            p = realloc(self.faults, room * sizeof(Fault))
            if p == NULL:
                if self.n_faults:
                    self.faults[self.n_faults - 1].more += 1    # one that the last one stands for
                return STATUS_OK
            self.faults = <Fault *>p
            self.faults_room = room
        self.faults[self.n_faults] = fault[0]
        self.faults[self.n_faults].code = status
        self.n_faults += 1
        return STATUS_OK

    cdef int _collect(self, int i, int status, BatchC *out, Fault *fault, bint ended) noexcept nogil:
        """What a call of instance `i` gave, and what waits behind its matches without a value; a status for a refusal."""
        while status != STATUS_OK and fault.stage >= STAGE_RESULT:
            self._note(fault, status)
            clear(fault)
            out = NULL
            status = self._call(i, INT64_MIN, ended, &out, fault)
        if out != NULL and out.n_rows == 0:
            batch_release(out)
            out = NULL
        if out != NULL:
            self.found[self.n_found] = out
            self.n_found += 1
        return status

    cdef int _give(self, BatchC **out, Fault *fault) noexcept nogil:
        """The next match without a value, or all that was found."""
        out[0] = NULL
        if self.told < self.n_faults:
            fault[0] = self.faults[self.told]
            self.told += 1
            self.telling = True
            return fault.code
        self.told = self.n_faults = 0
        self.telling = False
        self._tell()
        if self.n_found == 0:
            return STATUS_OK
        out[0] = merge_matches((<Operator>self.instances[0]), self.found, self.n_found, fault)
        self.n_found = 0
        return STATUS_OK if out[0] != NULL else fault.code

    cdef void _tell(self) noexcept nogil:
        cdef int64_t n_open = 0, n_partitions = 0, n_rows = 0, n_bytes = 0, rows
        cdef int i
        for i in range(self.n):
            n_open += (<Operator>self.instances[i]).open_gauge.get()
            n_partitions += (<Operator>self.instances[i]).partitions_gauge.get()
            rows = (<Operator>self.instances[i]).rows_gauge.get()
            n_rows = -1 if rows < 0 or n_rows < 0 else n_rows + rows
            n_bytes += (<Operator>self.instances[i]).bytes_gauge.get()
        self.tell(n_open, n_partitions, n_rows, n_bytes)

    # ------------------------------------------------------------ the operator

    cdef int _reserve(self, int64_t n) noexcept nogil:
        cdef void *p
        if n > self.room:
            p = realloc(self.rows, n * 5)
            if p == NULL:
                return STATUS_NO_MEMORY
            self.rows = <int32_t *>p
            self.room = n
        self.letters = <uint8_t *>(self.rows + n)
        return STATUS_OK

    cdef int _prepare(self, BatchC *batch, Fault *fault) noexcept nogil:
        """Every instance's rows of the batch, or a refusal."""
        cdef int64_t n = batch.n_rows
        cdef int i, status, begin = 0
        cdef bint lettered = False
        if n > 0x7fffffff:
            return fault_set(fault, STATUS_CAPACITY, -1, -1, n, 0x7fffffff, "the rows of a batch")
        status = self.within_limits(self.open_gauge.get(), self.partitions_gauge.get(), fault)
        if status != STATUS_OK:
            return status
        if self._reserve(n) != STATUS_OK:
            return fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "the rows of a batch")
        status = (<Operator>self.instances[0]).prepare(
            batch, 0, n, self.n, self.rows, self.letters, self.ends, &lettered, fault)
        for i in range(self.n):
            self.pieces[i].rows = self.rows + begin
            self.pieces[i].letters = NULL
            if lettered:
                self.pieces[i].letters = self.letters + begin
            self.pieces[i].start = 0
            self.pieces[i].n = self.ends[i] - begin
            begin = self.ends[i]
        return status

    cdef int _judge(self, BatchC *batch, Fault *fault) noexcept nogil:
        cdef Fault other
        cdef int i, k, status, refused = STATUS_OK
        for i in range(self.n):
            clear(&other)
            status = (<Operator>self.instances[i]).judge(batch, &self.pieces[i], 1, &other)
            if status != STATUS_OK and (refused == STATUS_OK or other.row < fault.row):
                refused = status
                fault[0] = other
        if refused != STATUS_OK:
            for k in range(self.n):
                (<Operator>self.instances[k]).retract()
        return refused

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        cdef BatchC *one
        cdef int i, status
        out[0] = NULL
        status = self._prepare(batch, fault)
        if status == STATUS_OK and (<Operator>self.instances[0]).votes:
            status = self._judge(batch, fault)
        for i in range(self.n):
            if status != STATUS_OK:
                return status
            one = NULL
            clear(fault)
            status = (<Operator>self.instances[i]).take(batch, base_sequence, &self.pieces[i], 1, &one, fault)
            status = self._collect(i, status, one, fault, False)
        return status if status != STATUS_OK else self._give(out, fault)

    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil:
        return self._all(time, False, out, fault)

    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil:
        return self._all(0, True, out, fault)

    cdef int _all(self, int64_t time, bint ended, BatchC **out, Fault *fault) noexcept nogil:
        """Every instance hears that the watermark has moved, or that the input has ended."""
        cdef BatchC *one
        cdef int i, status = STATUS_OK
        out[0] = NULL
        for i in range(0 if self.telling else self.n):
            one = NULL
            clear(fault)
            status = self._call(i, time, ended, &one, fault)
            status = self._collect(i, status, one, fault, ended)
            if status != STATUS_OK:
                return status
        return self._give(out, fault)

    cdef int _call(self, int i, int64_t time, bint ended, BatchC **out, Fault *fault) noexcept nogil:
        if ended:
            return (<Operator>self.instances[i]).finish(out, fault)
        return (<Operator>self.instances[i]).advance(time, out, fault)

    cdef str context(self, const Fault *fault):
        return (<Operator>self.instances[0]).context(fault)

    cpdef bytes save(self):
        """The states of all instances; `split_state` gives them back."""
        cdef Operator one
        cdef list written = [MAGIC, (<object>self.n).to_bytes(8, "little")]
        for one in self.operators:
            part = one.save()
            written += [len(part).to_bytes(8, "little"), part]
        return b"".join(written)

    cpdef restore(self, bytes state):
        """Takes what `save` made; StateError for another's or a torn one, and then nothing has changed."""
        cdef Operator one
        parts = split_state(state)
        if len(parts) != self.n:
            raise StateError(f"this state is of {len(parts)} instances, and there are {self.n}; nothing was restored")
        before = [one.save() for one in self.operators]
        try:
            for one, part in zip(self.operators, parts):
                one.restore(part)
        except BaseException:
            for one, part in zip(self.operators, before):
                one.restore(part)
            raise
