"""The operator of a condition: passes on the rows of each batch for which the condition is true, all columns.

Flow        per chunk the condition becomes a byte per row, the bytes become row numbers; then each column is gathered.
State       none, so `save` is empty and any cut into batches gives the same rows.
Cost        the condition, plus 1 to 2 ns per passing row and column.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from .batch cimport BatchC
from .conditions cimport Conditions
from .gather cimport batch_gather
from .operator cimport SPREAD_BATCHES, Operator
from .registers cimport CHUNK
from .schema cimport Schema
from .status cimport STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK, Fault, fault_set
from .vector cimport select_rows

from .status import StateError


cdef class RowFilter(Operator):
    """The rows of a batch for which one condition is true.

    Args:
        schema: of the input, and of the output.
        conditions: exactly one, without PREV.
    """

    def __cinit__(self, Schema schema, Conditions conditions):
        cdef int i
        self.input = schema
        self.output = schema
        self.conditions = conditions
        if conditions.count != 1 or conditions.lagged:
            raise ValueError("a row filter takes one condition that reads only its own row")
        for i in range(conditions.program.n_inputs):
            if not 0 <= conditions.sources[i].column < len(schema.names):
                raise ValueError("the condition reads a column that is not there")
        self.spread = SPREAD_BATCHES
        self.bytes = <uint8_t *>calloc(CHUNK, 1)
        if self.bytes == NULL:
            raise MemoryError("no memory for a row filter")

    def __dealloc__(self):
        free(self.rows)
        free(self.bytes)

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        cdef int64_t n = batch.n_rows, start, size, found = 0
        cdef int status
        out[0] = NULL
        if n > 0x7fffffff:
            return fault_set(fault, STATUS_CAPACITY, -1, -1, n, 0x7fffffff, "the rows of a batch")
        if n > self.room:
            free(self.rows)
            self.room = 0
            self.rows = <int32_t *>malloc(n * sizeof(int32_t))
            if self.rows == NULL:
                return fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "a row filter")
            self.room = n
        status = self.conditions.begin(batch.columns, n, False)
        if status != STATUS_OK:
            return fault_set(fault, status, -1, -1, 0, 0, NULL)
        for start from 0 <= start < n by CHUNK:
            size = n - start if n - start < CHUNK else CHUNK
            status = self.conditions.chunk(batch.columns, NULL, NULL, start, size, self.bytes, NULL, fault)
            if status != STATUS_OK:
                return status
            found += select_rows(self.bytes, size, <int32_t>start, self.rows + found)
        if found == 0:
            return STATUS_OK
        out[0] = batch_gather(batch, self.rows, found, fault)
        return STATUS_OK if out[0] != NULL else fault.code

    cdef str context(self, const Fault *fault):
        return "condition"

    cpdef bytes save(self):
        return b""

    cpdef restore(self, bytes state):
        if state:
            raise StateError("a condition has no state; this was saved by something else, nothing was restored")
