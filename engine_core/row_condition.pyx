"""One condition that reads nothing but its own row: what a filter waits for, and what pools take apart.

Flow        columns of the batch -> the expression program, a chunk at a time -> a byte per row. False and NULL are both "not
            true", as SQL's WHERE wants.
Memory      the program's registers, 18 KiB each, are made with the first batch: a filter whose answers come from a pool
            needs none, and of hundreds of triggers most are in one.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free

from .column cimport Column
from .expression cimport Program
from .registers cimport TYPE_BOOL, Input, Vec
from .status cimport STATUS_OK, Fault
from .vector cimport and_bytes


@cython.no_gc_clear     # __dealloc__ needs the program: the collector must not have taken it away by then
cdef class RowCondition:
    """A condition over single rows.

    Args:
        program: its one result is the condition, boolean.
        columns: for each input of the program the number of its column.
    """

    def __cinit__(self, Program program not None, list columns not None):
        cdef int i
        self.program = program
        self.can_fault = program.can_fault
        if len(columns) != program.n_inputs:
            raise ValueError("the program has another number of inputs")
        if program.n_results != 1 or program.types[program.results[0]] != TYPE_BOOL:
            raise ValueError("a condition is one boolean")
        self.columns = <int32_t *>calloc(len(columns) + 1, sizeof(int32_t))
        self.inputs = <Input *>calloc(len(columns) + 1, sizeof(Input))
        if self.columns == NULL or self.inputs == NULL:
            raise MemoryError("no memory for a condition")
        for i in range(len(columns)):
            self.columns[i] = columns[i]
            if self.columns[i] < 0:
                raise ValueError(f"input {i} has no such column")

    def __dealloc__(self):
        if self.framed:
            self.program.frame_free(&self.frame)
        free(self.columns)
        free(self.inputs)

    cdef int begin(self, const Column *columns, int64_t n_rows) noexcept nogil:
        cdef int i, status
        if not self.framed:
            status = self.program.frame_init(&self.frame)
            if status != STATUS_OK:
                return status
            self.framed = True
        for i in range(self.program.n_inputs):
            self.inputs[i].column = &columns[self.columns[i]]
        return self.program.prepare(&self.frame, self.inputs, n_rows)

    cdef const uint8_t *truth(self, int64_t start, int64_t n, uint8_t *room, Fault *fault) noexcept nogil:
        cdef Vec *result
        if self.program.run(&self.frame, self.inputs, start, n, fault) != STATUS_OK:
            return NULL
        result = &self.frame.registers[self.program.results[0]]
        if result.valid == NULL:
            return <const uint8_t *>result.data
        and_bytes(<const uint8_t *>result.data, result.valid, n, room)
        return room
