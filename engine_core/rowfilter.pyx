"""The operator of a condition: passes on the rows of each batch for which the condition is true, all columns.

Flow        alone: per chunk the condition becomes a byte per row, the bytes become row numbers.
            In a pool: the parts of the condition that other filters have too are bit masks already, or become them;
            their AND becomes row numbers. Either way each column is then gathered.
State       none, so `save` is empty and any cut into batches gives the same rows.
Cost        alone the condition, in a pool what pool.pyx says; plus 1 to 2 ns per passing row and column.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from .batch cimport BatchC, batch_release, batch_retain
from .gather cimport batch_gather, batch_place
from .operator cimport SPREAD_BATCHES, Operator
from .pool cimport ConditionPool, SharedCondition, pool_rows, select_all
from .registers cimport CHUNK
from .row_condition cimport RowCondition
from .schema cimport Schema
from .status cimport STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK, Fault, fault_set
from .vector cimport select_rows

from .status import StateError


cdef class RowFilter(Operator):
    """The rows of a batch for which one condition is true.

    Args:
        schema: of the input.
        condition: over its columns.
        output: the first columns of `schema`, which are passed on; None: all. In the layout in which they came.
        placed: whether the batches have `places`.
    """

    def __cinit__(self, Schema schema not None, RowCondition condition not None, Schema output=None, *, bint placed=False):
        cdef int i
        self.input = schema
        self.output = schema if output is None else output
        self.n_columns = len(self.output.names)
        if self.output.names != schema.names[:self.n_columns]:
            raise ValueError("a filter passes on its first columns")
        self.condition = condition
        self.placed = placed
        for i in range(condition.program.n_inputs):
            if condition.columns[i] >= len(schema.names):
                raise ValueError("the condition reads a column that is not there")
        self.spread = SPREAD_BATCHES
        self.bytes = <uint8_t *>calloc(CHUNK, 1)
        if self.bytes == NULL:
            raise MemoryError("no memory for a row filter")

    def __dealloc__(self):
        free(self.rows)
        free(self.bytes)
        free(self.parts)
        free(self.masks)

    cdef bint join(self, ConditionPool pool) except -1:
        cdef int i
        cdef list shared
        if pool is None:
            self.n_shared = 0
            self.shared = self.pool = None
            return False
        if self.pool is not None:       # it may be running: nothing is written
            return self.pool is pool
        shared = pool.share(self.condition)
        if shared is None:
            return False
        free(self.parts)
        free(self.masks)
        self.parts = <PyObject **>calloc(len(shared), sizeof(PyObject *))
        self.masks = <const uint64_t **>calloc(len(shared), sizeof(uint64_t *))
        if self.parts == NULL or self.masks == NULL:
            raise MemoryError("no memory for a row filter")
        for i in range(len(shared)):
            self.parts[i] = <PyObject *>shared[i]
        self.shared = tuple(shared)
        self.n_shared = len(shared)
        self.pool = pool
        return True

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        cdef int64_t found = 0
        cdef int32_t *rows = NULL
        cdef int status
        out[0] = NULL
        if batch.n_rows > 0x7fffffff:
            return fault_set(fault, STATUS_CAPACITY, -1, -1, batch.n_rows, 0x7fffffff, "the rows of a batch")
        if self.n_shared > 0 and self.pool.c.batch == batch:
            status = self._together(batch, &rows, &found, fault)
        else:
            status = self._alone(batch, &rows, &found, fault)
        if status != STATUS_OK or found == 0:
            return status
        if found == batch.n_rows and self.n_columns == batch.n_columns and not self.placed:
            batch_retain(batch)         # all of it, as single events are
            out[0] = batch
            return STATUS_OK
        out[0] = batch_gather(batch, rows, found, self.n_columns, fault)
        if out[0] == NULL:
            return fault.code
        if self.placed and batch_place(out[0], rows, base_sequence) != STATUS_OK:
            batch_release(out[0])
            out[0] = NULL
            return fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "the rows that passed")
        return STATUS_OK

    cdef int _alone(self, BatchC *batch, int32_t **rows, int64_t *found, Fault *fault) noexcept nogil:
        cdef int64_t n = batch.n_rows, start, size
        cdef const uint8_t *truth
        cdef int status
        if n > self.room:
            free(self.rows)
            self.room = 0
            self.rows = <int32_t *>malloc(n * sizeof(int32_t))
            if self.rows == NULL:
                return fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "a row filter")
            self.room = n
        rows[0] = self.rows
        status = self.condition.begin(batch.columns, n)
        if status != STATUS_OK:
            return fault_set(fault, status, -1, -1, 0, 0, NULL)
        for start from 0 <= start < n by CHUNK:
            size = n - start if n - start < CHUNK else CHUNK
            truth = self.condition.truth(start, size, self.bytes, fault)
            if truth == NULL:
                return fault.code
            found[0] += select_rows(truth, size, <int32_t>start, self.rows + found[0])
        return STATUS_OK

    cdef int _together(self, BatchC *batch, int32_t **rows, int64_t *found, Fault *fault) noexcept nogil:
        cdef int i
        rows[0] = pool_rows(&self.pool.c, batch.n_rows)
        for i in range(self.n_shared):
            self.masks[i] = (<SharedCondition>self.parts[i]).answer(batch, self.pool.c.turn)
            if self.masks[i] == NULL or rows[0] == NULL:
                return fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "a row filter")
        found[0] = select_all(self.masks, self.n_shared, (batch.n_rows + 63) >> 6, rows[0])
        return STATUS_OK

    cdef str context(self, const Fault *fault):
        return "condition"

    cpdef bytes save(self):
        return b""

    cpdef restore(self, bytes state):
        if state:
            raise StateError("a condition has no state; this was saved by something else, nothing was restored")
