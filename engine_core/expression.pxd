"""Expression programs: the verified, immutable Program; its registers are in registers.pxd."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from .registers cimport Frame, Input, Instruction, ValueSet
from .status cimport Fault
from .vector cimport Str

cdef class Program:
    cdef Instruction *instructions
    cdef readonly int n_instructions
    cdef readonly int n_registers
    cdef readonly int n_inputs
    cdef readonly bint can_fault
    cdef int32_t *types             # of the registers
    cdef int32_t *input_types
    cdef int32_t *results           # registers
    cdef readonly int n_results
    cdef ValueSet *sets
    cdef int n_sets
    cdef int64_t *constants         # bits of the value
    cdef Str *constant_text
    cdef uint8_t *constant_null
    cdef int32_t *constant_types
    cdef int n_constants
    cdef list _keep                 # bytes objects that constant_text points into

    cdef int frame_init(self, Frame *frame) noexcept nogil
    cdef void frame_free(self, Frame *frame) noexcept nogil
    cdef int prepare(self, Frame *frame, const Input *inputs, int64_t n_rows) noexcept nogil
    # Runs rows start .. start+n of the inputs (lag vectors: rows 0 .. n); n <= CHUNK. The results are the registers
    # self.results[...] of the frame. A fault that the rest of a boolean result does not settle is reported.
    cdef int run(self, Frame *frame, const Input *inputs, int64_t start, int64_t n, Fault *fault) noexcept nogil

    cdef int _pass(self, Frame *frame, const Input *inputs, int64_t start, int64_t n, bint track) noexcept nogil
    cdef void _blame(self, Frame *frame, int64_t row, Fault *fault) noexcept nogil
    cdef int _type(self, object number) except -1
    cdef int _register(self, int register) except -1
    cdef int _number(self, int type, object value, int64_t *out) except -1
    cdef int _text(self, object value, Str *out) except -1
    cdef int _constant(self, int i, object pair) except -1
    cdef int _set(self, ValueSet *s, object triple) except -1
    cdef int _verify(self, Instruction *ins, set written) except -1
