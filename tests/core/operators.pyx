"""Operators for the tests of the runtime: they do what an operator may do, in ways that a test can choose.

Pass      passes its batches on: all, or those of even length; refuses a batch with -1 in its first column (int64)
Gate      passes its batches on, each once its `gate` (a threading.Event) is open; `entered` counts those that came to it
KeepLast  says nothing until the watermark moves or the input ends, then gives the last batch it saw
"""
from libc.stdint cimport int64_t

from tocsin_core.batch cimport BatchC, batch_release, batch_retain
from tocsin_core.operator cimport Operator
from tocsin_core.schema cimport Schema
from tocsin_core.status cimport STATUS_DIVISION, STATUS_OK, Fault, fault_set


cdef class Pass(Operator):
    cdef bint even_only

    def __init__(self, Schema schema, bint even_only=False):
        self.input = schema
        self.output = schema
        self.even_only = even_only

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        cdef int64_t i
        for i in range(batch.n_rows):
            if (<const int64_t *>batch.columns[0].values)[i] == -1:
                return fault_set(fault, STATUS_DIVISION, i, 0, 7, 0, "/")
        if self.even_only and batch.n_rows % 2:
            return STATUS_OK
        batch_retain(batch)
        out[0] = batch
        return STATUS_OK


cdef class Gate(Pass):
    cdef readonly object gate
    cdef public int entered

    def __init__(self, Schema schema, gate):
        Pass.__init__(self, schema)
        self.gate = gate

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        with gil:
            self.entered += 1
            if not self.gate.wait(30):
                self.gate.set()     # a test that failed
        return Pass.process(self, batch, base_sequence, out, fault)


cdef class KeepLast(Operator):
    cdef BatchC *kept
    cdef readonly list told

    def __init__(self, Schema schema):
        self.input = schema
        self.output = schema
        self.told = []

    def __dealloc__(self):
        batch_release(self.kept)

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        batch_release(self.kept)
        batch_retain(batch)
        self.kept = batch
        return STATUS_OK

    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil:
        with gil:
            self.told.append(time)
        return STATUS_OK

    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil:
        out[0] = self.kept
        self.kept = NULL
        return STATUS_OK
