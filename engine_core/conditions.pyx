"""Conditions of a pattern: a batch's rows become letters, one bit per condition that is true.

Flow        per chunk: PREV's remembered values (lag) -> the expression program over all conditions -> a byte per row
            and condition -> masks. False and NULL are both "not true" here, as SQL's DEFINE wants.
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from .expression cimport Program
from .lag cimport LagColumn, LagOutput, lag_free, lag_init, lag_run
from .pick cimport Pick, pick_bind, pick_free, pick_init, pick_rows
from .registers cimport CHUNK, TYPE_BOOL, TYPE_STR, Input, Vec
from .status cimport STATUS_NO_MEMORY, STATUS_OK, Fault
from .vector cimport and_bytes, mask_or_u8, mask_or_u64


@cython.no_gc_clear     # __dealloc__ needs the program: the collector must not have taken it away by then
cdef class Conditions:
    """The conditions of one operator.

    Args:
        program: results are the conditions, boolean, in order; at most 64. Its inputs are `sources`.
        sources: per input (column, lag output or -1).
        lags: remembered columns, (column, TYPES number, depth).
        lag_outputs: (number in lags, offset), 1 <= offset <= depth.
    """

    def __cinit__(self, Program program, list sources, list lags, list lag_outputs):
        cdef int i
        self.program = program
        self.count = program.n_results
        self.lagged = len(lag_outputs) > 0
        self.can_fault = program.can_fault
        if len(sources) != program.n_inputs:
            raise ValueError("the program has another number of inputs")
        for i in range(self.count):
            if program.types[program.results[i]] != TYPE_BOOL:
                raise ValueError("a condition must be boolean")
        self.sources = <ConditionInput *>calloc(len(sources) + 1, sizeof(ConditionInput))
        self.inputs = <Input *>calloc(len(sources) + 1, sizeof(Input))
        self.bytes = <uint8_t *>calloc(CHUNK, 1)
        self.lags.columns = <LagColumn *>calloc(len(lags) + 1, sizeof(LagColumn))
        self.lags.outputs = <LagOutput *>calloc(len(lag_outputs) + 1, sizeof(LagOutput))
        if (self.sources == NULL or self.inputs == NULL or self.bytes == NULL or self.lags.columns == NULL
                or self.lags.outputs == NULL):
            raise MemoryError("no memory for the conditions")
        for i in range(len(sources)):
            self.sources[i].column, self.sources[i].lag = sources[i]
            if not -1 <= self.sources[i].lag < len(lag_outputs) or self.sources[i].column < 0:
                raise ValueError(f"input {i} has no such source")
        for i in range(len(lags)):
            self.lags.columns[i].column, self.lags.columns[i].type, self.lags.columns[i].depth = lags[i]
            if self.lags.columns[i].depth < 1:
                raise ValueError("a lag must look back at least one row")
        self.lags.n_columns = len(lags)
        for i in range(len(lag_outputs)):
            self.lags.outputs[i].lag, self.lags.outputs[i].offset = lag_outputs[i]
            if not 0 <= self.lags.outputs[i].lag < len(lags) or \
                    not 1 <= self.lags.outputs[i].offset <= self.lags.columns[self.lags.outputs[i].lag].depth:
                raise ValueError(f"lag output {i} reads what is not remembered")
        self.lags.n_outputs = len(lag_outputs)
        self.lags.keep_changes = self.can_fault
        if lag_init(&self.lags) != STATUS_OK or program.frame_init(&self.frame) != STATUS_OK:
            raise MemoryError("no memory for the conditions")
        self.framed = True

    def __dealloc__(self):
        cdef int i
        if self.framed:
            self.program.frame_free(&self.frame)
        if self.lags.columns != NULL and self.lags.outputs != NULL:
            lag_free(&self.lags)
        if self.picks != NULL:
            for i in range(self.program.n_inputs):
                pick_free(&self.picks[i])
        free(self.picks)
        free(self.sources)
        free(self.inputs)
        free(self.bytes)

    cdef int _make_picks(self) noexcept nogil:
        cdef int i
        self.picks = <Pick *>calloc(self.program.n_inputs + 1, sizeof(Pick))
        if self.picks == NULL:
            return STATUS_NO_MEMORY
        for i in range(self.program.n_inputs):
            if self.sources[i].lag < 0 and pick_init(&self.picks[i], self.program.input_types[i] == TYPE_STR) != STATUS_OK:
                return STATUS_NO_MEMORY
        return STATUS_OK

    cdef int begin(self, const Column *columns, int64_t n_rows, bint picked) noexcept nogil:
        cdef int i
        cdef LagOutput *lag
        if picked and self.picks == NULL and self._make_picks() != STATUS_OK:
            return STATUS_NO_MEMORY
        self.picked = picked
        for i in range(self.program.n_inputs):
            if self.sources[i].lag >= 0:
                lag = &self.lags.outputs[self.sources[i].lag]
                self.inputs[i].column = NULL
                self.inputs[i].vec.data = lag.data
                self.inputs[i].vec.valid = lag.valid
                self.inputs[i].vec.err = NULL
                self.inputs[i].vec.scalar = False
            elif picked:
                pick_bind(&self.picks[i], &columns[self.sources[i].column], &self.inputs[i])
            else:
                self.inputs[i].column = &columns[self.sources[i].column]
        return self.program.prepare(&self.frame, self.inputs, n_rows)

    cdef int chunk(self, const Column *columns, const int32_t *rows, const uint32_t *partitions, int64_t start, int64_t n,
                   uint8_t *narrow, uint64_t *wide, Fault *fault) noexcept nogil:
        cdef int i, status
        cdef Vec *r
        cdef const uint8_t *truth
        if self.lagged:
            status = lag_run(&self.lags, columns, rows, partitions, start, n)
            if status != STATUS_OK:
                return status
        if self.picked:
            for i in range(self.program.n_inputs):
                if self.sources[i].lag < 0:
                    pick_rows(&self.picks[i], &columns[self.sources[i].column], rows, n)
            start = 0
        if narrow != NULL:
            memset(narrow, 0, n)
        else:
            memset(wide, 0, n * 8)
        status = self.program.run(&self.frame, self.inputs, start, n, fault)
        if status != STATUS_OK:
            if self.picked and fault.code == status and fault.row >= 0:
                fault.row = rows[fault.row]
            return status
        for i in range(self.count):
            r = &self.frame.registers[self.program.results[i]]
            truth = <const uint8_t *>r.data
            if r.valid != NULL:
                and_bytes(truth, r.valid, n, self.bytes)
                truth = self.bytes
            if narrow != NULL:
                mask_or_u8(truth, i, n, narrow)
            else:
                mask_or_u64(truth, i, n, wide)
        return STATUS_OK
