"""Projection: one expression of the kernel, computed for every row of a batch and handed back as a column.

What        what stands between two calls of the library (compile/library.py) is computed here, so that an expression
            has the same value wherever it is computed.
Faults      a row without a value (overflow, division by zero) is NULL in the value and TRUE in the second column, which
            says where; the first such row's exception is handed back beside them, not raised: a CASE around the call that
            the value goes into may yet not take it.
Cost        the program's, plus 2 to 5 ns a row for the column.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from .batch cimport Batch, BatchC
from .builder cimport (OutColumn, out_export, out_free, out_init, out_push_bytes, out_push_f64, out_push_i64,
                       out_push_null)
from .column cimport KIND_BOOL, KIND_U8, KIND_U16, KIND_U32
from .expression cimport Program
from .registers cimport CHUNK, TYPE_BOOL, TYPE_F64, TYPE_STR, Input, Vec
from .schema cimport Schema
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_TIME_RANGE, Fault, fault_exception, fault_set
from .vector cimport Str


cdef inline bint fits(const OutColumn *o, int64_t value) noexcept nogil:
    """Whether a computed integer fits its column (a date of 32 bits, say)."""
    cdef int64_t half
    if o.width == 0 or o.width >= 8:
        return True
    half = <int64_t>1 << (8 * o.width - 1)
    if o.kind == KIND_U8 or o.kind == KIND_U16 or o.kind == KIND_U32:
        return 0 <= value < 2 * half
    return -half <= value < half


cdef int append(OutColumn *columns, const Vec *r, int type, int64_t n, int64_t start, Fault *fault) noexcept nogil:
    """A chunk's values and whether they faulted; `fault` gets the first value that its column cannot hold."""
    cdef OutColumn *o = &columns[0]
    cdef int64_t i
    cdef int status = STATUS_OK
    cdef bint bad
    for i in range(n):
        bad = r.err != NULL and r.err[i]
        if bad or (r.valid != NULL and not r.valid[i]):
            status = out_push_null(o)
        elif type == TYPE_F64:
            status = out_push_f64(o, (<double *>r.data)[i])
        elif type == TYPE_BOOL:
            status = out_push_i64(o, (<uint8_t *>r.data)[i])
        elif type == TYPE_STR:
            status = out_push_bytes(o, (<Str *>r.data)[i].data, (<Str *>r.data)[i].size)
        elif fits(o, (<int64_t *>r.data)[i]):
            status = out_push_i64(o, (<int64_t *>r.data)[i])
        else:
            bad = True
            if fault.code == STATUS_OK:
                fault_set(fault, STATUS_TIME_RANGE, start + i, 0, (<int64_t *>r.data)[i], 0, NULL)
            status = out_push_null(o)
        if status == STATUS_OK:
            status = out_push_i64(&columns[1], bad)
        if status != STATUS_OK:
            return status
    return STATUS_OK


cdef int project(Projection self, BatchC *batch, OutColumn *columns, Fault *first) noexcept nogil:
    cdef Fault fault
    cdef Vec *result
    cdef int64_t start, size, n = batch.n_rows
    cdef int i, status
    first.code = STATUS_OK
    for i in range(self.program.n_inputs):
        self.inputs[i].column = &batch.columns[self.sources[i]]
    status = self.program.prepare(&self.frame, self.inputs, n)
    for start from 0 <= start < n by CHUNK:
        if status != STATUS_OK:
            return status
        size = n - start if n - start < CHUNK else CHUNK
        if self.program.run(&self.frame, self.inputs, start, size, &fault) != STATUS_OK and first.code == STATUS_OK:
            first[0] = fault
        result = &self.frame.registers[self.program.results[0]]
        status = append(columns, result, self.program.types[self.program.results[0]], size, start, first)
    return status


@cython.no_gc_clear     # __dealloc__ needs the program: the collector must not have taken it away by then
cdef class Projection:
    """An expression over batches.

    Args:
        program: of one result.
        sources: the column of each of its inputs, which has that input's kind of values.
        output: the schema of what `run` gives: the value, and a boolean.

    Raises:
        ValueError: the program has another number of results or inputs.
    """

    def __cinit__(self, Program program not None, list sources, Schema output not None):
        cdef int i
        self.program = program
        self.output = output
        if program.n_results != 1 or program.n_inputs != len(sources) or len(output.kinds) != 2 or \
                output.kinds[1] != KIND_BOOL:
            raise ValueError("a projection takes a program of one result, and a source for each of its inputs")
        self.inputs = <Input *>calloc(len(sources) + 1, sizeof(Input))
        self.sources = <int32_t *>calloc(len(sources) + 1, sizeof(int32_t))
        if self.inputs == NULL or self.sources == NULL:
            raise MemoryError("no memory for a projection")
        for i in range(len(sources)):
            self.sources[i] = sources[i]
            if self.sources[i] < 0:
                raise ValueError(f"input {i} has no column {sources[i]}")
            self.columns = max(self.columns, <int64_t>self.sources[i] + 1)
        if program.frame_init(&self.frame) != STATUS_OK:
            raise MemoryError("no memory for a projection")
        self.framed = True

    def __dealloc__(self):
        if self.framed:
            self.program.frame_free(&self.frame)
        free(self.inputs)
        free(self.sources)

    def run(self, Batch batch not None):
        """The value of each row.

        Returns:
            (Batch, None): the values, and where there is none for a fault; or (Batch, EvaluationError of the first).
        """
        cdef OutColumn columns[2]
        cdef Fault fault
        cdef BatchC *out = NULL
        cdef int status
        if batch.c.n_columns < self.columns:
            raise ValueError(f"the batch has {batch.c.n_columns} columns; the projection reads {self.columns}")
        memset(&fault, 0, sizeof(Fault))
        out_init(&columns[0], self.output.kinds[0], 0)
        out_init(&columns[1], KIND_BOOL, 0)
        with nogil:
            status = project(self, batch.c, columns, &fault)
            if status == STATUS_OK:
                out = out_export(columns, 2, batch.c.n_rows)
                status = STATUS_OK if out != NULL else STATUS_NO_MEMORY
        if status != STATUS_OK:
            out_free(&columns[0])
            out_free(&columns[1])
            fault_set(&fault, status, -1, -1, 0, 0, "the values of an expression")
            raise fault_exception(&fault, "")
        return Batch.wrap(out, self.output), fault_exception(&fault, "") if fault.code != STATUS_OK else None
