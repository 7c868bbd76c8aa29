"""The expression kernel: flat, verified programs that are run column by column, a chunk of rows at a time.

What        conditions (DEFINE, triggers) and measures, compiled by tocsin.compile to instructions on registers.
Flow        LOAD input -> register ... -> the results. Every register is a vector of CHUNK rows of one type,
            with a byte per row that says whether the row is valid (SQL NULL otherwise), or none: all valid.
Logic       SQL's three-valued logic: comparisons and arithmetic with a NULL give NULL; AND / OR by Kleene's tables.
Faults      Integer overflow and integer division by zero make a row faulty. A first, quick run only detects them;
            if there is one, the chunk is run again with a fault byte per row, and an AND / OR whose other side
            settles the row takes the fault away (`b <> 0 AND a / b > 2` never raises). Only a fault that reaches
            a result is an error. So a chunk without faults pays nothing.
Strings     equality and IN on a dictionary column are worked out once per dictionary value, then looked up by code.
Invariants  `Program` checks every register, type, input and constant number when it is made, and that each register is
            written once, before it is read; `run` trusts that.
            A Program is immutable and may be shared by threads; a Frame belongs to one operator.
Cost        per row and instruction about 0.1 to 1 ns for numbers (SIMD where the compiler can), 2 to 5 ns for strings.
Source      vectorised execution: Boncz, Zukowski, Nes: MonetDB/X100, CIDR 2005. Logic: SQL:2016, 6.39.
"""
from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, INT64_MIN)
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from .column cimport (KIND_BOOL, KIND_DICT, KIND_F16, KIND_F32, KIND_F64, KIND_I16, KIND_I32, KIND_I64, KIND_I8,
                      KIND_LARGE_UTF8, KIND_NULL, KIND_U16, KIND_U32, KIND_U64, KIND_U8, KIND_UTF8, KIND_UTF8_VIEW,
                      Column, bit_get, column_bytes, column_f64, column_i64, column_valid, dictionary_code)
from .status cimport (STATUS_DIVISION, STATUS_NO_MEMORY, STATUS_OK, STATUS_OVERFLOW, Fault, fault_set)
from .vector cimport *

cdef enum Op:
    OP_LOAD = 0             # dst <- inputs[imm]
    OP_CONST = 1            # dst <- constants[imm]
    OP_COMPARE = 2          # dst <- a (sub) b
    OP_ARITHMETIC = 3       # dst <- a (sub) b
    OP_NEGATE = 4
    OP_AND = 5
    OP_OR = 6
    OP_NOT = 7
    OP_IS_NULL = 8
    OP_IS_NOT_NULL = 9
    OP_CAST = 10            # dst <- a as the type of dst
    OP_IN = 11              # dst <- a in sets[imm]
    OP_COLUMN_IN = 12       # dst <- inputs[a] in sets[imm], strings straight from the column

OPS = {"load": OP_LOAD, "const": OP_CONST, "compare": OP_COMPARE, "arithmetic": OP_ARITHMETIC, "neg": OP_NEGATE,
       "and": OP_AND, "or": OP_OR, "not": OP_NOT, "is_null": OP_IS_NULL, "is_not_null": OP_IS_NOT_NULL,
       "cast": OP_CAST, "in": OP_IN, "column_in": OP_COLUMN_IN}
COMPARISONS = {"eq": 0, "ne": 1, "lt": 2, "le": 3, "gt": 4, "ge": 5}
ARITHMETIC = {"add": 0, "sub": 1, "mul": 2, "div": 3, "mod": 4}
TYPES = {"i64": TYPE_I64, "u64": TYPE_U64, "f64": TYPE_F64, "bool": TYPE_BOOL, "str": TYPE_STR}

cdef const char *SYMBOLS[5]
SYMBOLS[0] = b"+"
SYMBOLS[1] = b"-"
SYMBOLS[2] = b"*"
SYMBOLS[3] = b"/"
SYMBOLS[4] = b"%"

cdef int64_t VALUE_BYTES = 16       # room for the widest value (Str) in every register


# ---------------------------------------------------------------- kernel: free functions on vectors

cdef inline uint8_t *valid_buffer(const Frame *frame, int register) noexcept nogil:
    return <uint8_t *>frame.memory + <int64_t>register * CHUNK * (VALUE_BYTES + 2) + CHUNK * VALUE_BYTES


cdef inline uint8_t *err_buffer(const Frame *frame, int register) noexcept nogil:
    return valid_buffer(frame, register) + CHUNK


cdef inline void *data_buffer(const Frame *frame, int register) noexcept nogil:
    return <uint8_t *>frame.memory + <int64_t>register * CHUNK * (VALUE_BYTES + 2)


cdef void both_valid(Frame *frame, int dst, const Vec *a, const Vec *b, int64_t n) noexcept nogil:
    """valid(dst) = valid(a) and valid(b); NULL where both are."""
    cdef uint8_t *out = valid_buffer(frame, dst)
    cdef Vec *d = &frame.registers[dst]
    if a.valid == NULL and b.valid == NULL:
        d.valid = NULL
        return
    if a.valid == NULL:
        memcpy(out, b.valid, n)
    elif b.valid == NULL:
        memcpy(out, a.valid, n)
    else:
        and_bytes(a.valid, b.valid, n, out)
    d.valid = out


cdef void carry_err(Frame *frame, int dst, const Vec *a, const Vec *b, int64_t n) noexcept nogil:
    """A fault of an operand is a fault of the result, whose value is then unknown."""
    cdef Vec *d = &frame.registers[dst]
    cdef uint8_t *err
    cdef uint8_t *valid
    cdef int64_t i
    if a.err == NULL and (b == NULL or b.err == NULL):
        d.err = NULL
        return
    err = err_buffer(frame, dst)
    valid = valid_buffer(frame, dst)
    if d.valid == NULL:
        memset(valid, 1, n)
        d.valid = valid
    for i in range(n):
        err[i] = a.err[i] if a.err != NULL else 0
        if err[i] == 0 and b != NULL and b.err != NULL:
            err[i] = b.err[i]
        if err[i]:
            valid[i] = 0
    d.err = err


cdef void load_text(const Column *c, int64_t start, int64_t n, Str *out, uint8_t *valid) noexcept nogil:
    """Views of n strings; a null row gets an empty view. `valid` (may be NULL) gets 0 / 1 per row."""
    cdef int64_t i, code
    cdef bint ok
    cdef const Column *values = c
    for i in range(n):
        ok = column_valid(c, start + i)
        code = start + i
        if ok and c.kind == KIND_DICT:
            values = c.dictionary
            code = dictionary_code(c, start + i)
            ok = column_valid(values, code)
        if ok:
            column_bytes(values, code, &out[i].data, &out[i].size)
        else:
            out[i].data = NULL
            out[i].size = 0
        if valid != NULL:
            valid[i] = ok


cdef int load_dictionary(const Column *c, int64_t start, int64_t n, int type, void *out, uint8_t *valid) noexcept nogil:
    """A dictionary of numbers or booleans, decoded."""
    cdef int64_t i, code
    cdef const Column *d = c.dictionary
    for i in range(n):
        valid[i] = column_valid(c, start + i)
        code = 0
        if valid[i]:
            code = dictionary_code(c, start + i)
            valid[i] = column_valid(d, code)
        if type == TYPE_F64:
            (<double *>out)[i] = column_f64(d, code) if valid[i] else 0.0
        elif type == TYPE_BOOL:
            (<uint8_t *>out)[i] = <uint8_t>column_i64(d, code) if valid[i] else 0
        else:
            (<int64_t *>out)[i] = column_i64(d, code) if valid[i] else 0
    return STATUS_OK


cdef void load(Frame *frame, int dst, int type, const Input *source, int64_t start, int64_t n) noexcept nogil:
    cdef Vec *d = &frame.registers[dst]
    cdef const Column *c = source.column
    cdef int64_t i
    d.err = NULL
    d.scalar = False
    d.narrow = NULL
    if c == NULL:
        d[0] = source.vec
        return
    d.data = data_buffer(frame, dst)
    d.valid = NULL
    if c.kind == KIND_NULL:
        memset(d.data, 0, CHUNK * VALUE_BYTES)
        d.valid = valid_buffer(frame, dst)
        memset(d.valid, 0, n)
        return
    if type == TYPE_STR:
        d.valid = valid_buffer(frame, dst)
        load_text(c, start, n, <Str *>d.data, d.valid)
        return
    if c.kind == KIND_DICT:
        d.valid = valid_buffer(frame, dst)
        load_dictionary(c, start, n, type, d.data, d.valid)
        return
    if c.null_count != 0:
        d.valid = valid_buffer(frame, dst)
        load_bits(c.validity, c.bit_offset + start, n, d.valid)
    if c.kind == KIND_I64 or c.kind == KIND_U64 or c.kind == KIND_F64:
        # PERF: native widths are read in place, no copy.
        d.data = <void *>(c.values + 8 * start)
    elif c.kind == KIND_BOOL:
        load_bits(c.values, c.bit_offset + start, n, <uint8_t *>d.data)
    elif c.kind == KIND_I32:
        d.narrow = <const int32_t *>c.values + start    # widened when somebody needs it: see `wide`
    elif c.kind == KIND_F32:
        load_f32(c.values, start, n, <double *>d.data)
    elif c.kind == KIND_I16:
        load_i16(c.values, start, n, <int64_t *>d.data)
    elif c.kind == KIND_I8:
        load_i8(c.values, start, n, <int64_t *>d.data)
    elif c.kind == KIND_U32:
        load_u32(c.values, start, n, <int64_t *>d.data)
    elif c.kind == KIND_U16:
        load_u16(c.values, start, n, <int64_t *>d.data)
    elif c.kind == KIND_U8:
        load_u8(c.values, start, n, <int64_t *>d.data)
    else:   # KIND_F16
        for i in range(n):
            (<double *>d.data)[i] = column_f64(c, start + i)


cdef inline void wide(Frame *frame, int register, int64_t n) noexcept nogil:
    """An int32 column that was only pointed at becomes int64 values."""
    cdef Vec *d = &frame.registers[register]
    if d.narrow != NULL:
        load_i32(d.narrow, 0, n, <int64_t *>d.data)
        d.narrow = NULL


cdef bint set_has_str(const ValueSet *s, const Str *key) noexcept nogil:
    cdef int64_t low = 0, high = s.count, middle
    cdef int sign
    while low < high:
        middle = (low + high) >> 1
        sign = compare_sign_str((<const Str *>s.values)[middle], key[0])
        if sign == 0:
            return True
        if sign < 0:
            low = middle + 1
        else:
            high = middle
    return False


cdef inline bint set_has_number(const ValueSet *s, const void *data, int64_t i) noexcept nogil:
    # IN lists are short: a scan beats a search up to some dozens of values, and stays right for NaN.
    cdef int64_t k
    if s.type == TYPE_F64:
        for k in range(s.count):
            if (<const double *>s.values)[k] == (<const double *>data)[i]:
                return True
    elif s.type == TYPE_BOOL:
        for k in range(s.count):
            if (<const int64_t *>s.values)[k] == (<const uint8_t *>data)[i]:
                return True
    else:
        for k in range(s.count):
            if (<const int64_t *>s.values)[k] == (<const int64_t *>data)[i]:
                return True
    return False


cdef void in_set(Frame *frame, int dst, const Vec *a, int type, const ValueSet *s, int64_t n) noexcept nogil:
    """x IN (...): true if found; NULL if x is NULL, or not found and the list has a NULL; else false."""
    cdef Vec *d = &frame.registers[dst]
    cdef uint8_t *out = <uint8_t *>data_buffer(frame, dst)
    cdef uint8_t *valid = valid_buffer(frame, dst)
    cdef int64_t i
    cdef bint ok
    d.data = out
    d.scalar = False
    d.valid = valid if a.valid != NULL or s.has_null else NULL
    for i in range(n):
        ok = a.valid == NULL or a.valid[i]
        if not ok:
            out[i] = 0
        elif type == TYPE_STR:
            out[i] = set_has_str(s, &(<const Str *>a.data)[i])
        else:
            out[i] = set_has_number(s, a.data, i)
        if d.valid != NULL:
            valid[i] = ok and (out[i] or not s.has_null)
    carry_err(frame, dst, a, NULL, n)


cdef void column_in(Frame *frame, int slot, int dst, const Column *c, const ValueSet *s, int64_t start,
                    int64_t n) noexcept nogil:
    cdef Vec *d = &frame.registers[dst]
    cdef uint8_t *out = <uint8_t *>data_buffer(frame, dst)
    cdef uint8_t *valid = valid_buffer(frame, dst)
    cdef uint8_t *table = frame.tables[slot]
    cdef uint8_t answer
    cdef bint nulls = c.null_count != 0 or s.has_null
    cdef int64_t i
    d.data = out
    d.scalar = False
    d.err = NULL
    if table != NULL and frame.table_of[slot] == c:
        nulls = nulls or c.dictionary.null_count != 0
        d.valid = valid if nulls else NULL
        if not nulls:
            if c.index_kind == KIND_I32 or c.index_kind == KIND_U32:
                for i in range(n):
                    out[i] = table[(<const uint32_t *>c.values)[start + i]]
            else:
                for i in range(n):
                    out[i] = table[dictionary_code(c, start + i)]
            return
        for i in range(n):
            answer = table[dictionary_code(c, start + i)] if column_valid(c, start + i) else 2
            out[i] = answer & 1
            valid[i] = answer < 2
        return
    load_text(c, start, n, frame.text, valid)
    for i in range(n):
        out[i] = set_has_str(s, &frame.text[i]) if valid[i] else 0
        if valid[i] and s.has_null and not out[i]:
            valid[i] = 0
    d.valid = valid


cdef void compare(Frame *frame, const Instruction *ins, int type_a, int type_b, int64_t n) noexcept nogil:
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *b = &frame.registers[ins.b]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef uint8_t *out = <uint8_t *>data_buffer(frame, ins.dst)
    cdef int op = ins.sub
    cdef int64_t constant
    cdef int32_t small
    both_valid(frame, ins.dst, a, b, n)
    d.data = out
    d.scalar = False
    if a.narrow != NULL and b.scalar and type_b == TYPE_I64:
        # PERF: half the memory, twice the lanes, and no copy.
        constant = (<const int64_t *>b.data)[0]
        small = <int32_t>constant
        if small == constant:
            compare_i32(op, a.narrow, &small, True, n, out)
            carry_err(frame, ins.dst, a, b, n)
            return
    wide(frame, ins.a, n)
    wide(frame, ins.b, n)
    if type_a == TYPE_F64:
        compare_f64(op, <const double *>a.data, <const double *>b.data, b.scalar, n, out)
    elif type_a == TYPE_I64 and type_b == TYPE_I64:
        compare_i64(op, <const int64_t *>a.data, <const int64_t *>b.data, b.scalar, n, out)
    elif type_a == TYPE_U64 and type_b == TYPE_U64:
        compare_u64(op, <const uint64_t *>a.data, <const uint64_t *>b.data, b.scalar, n, out)
    elif type_a == TYPE_U64:
        compare_u64_i64(op, <const uint64_t *>a.data, <const int64_t *>b.data, b.scalar, n, out)
    elif type_a == TYPE_BOOL:
        compare_u8(op, <const uint8_t *>a.data, <const uint8_t *>b.data, b.scalar, n, out)
    else:
        compare_str(op, <const Str *>a.data, <const Str *>b.data, b.scalar, n, d.valid, out)
    carry_err(frame, ins.dst, a, b, n)


cdef int arithmetic(Frame *frame, const Instruction *ins, int type, int64_t n, bint track) noexcept nogil:
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *b = &frame.registers[ins.b]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef uint8_t *err = NULL
    cdef uint8_t *valid
    cdef int64_t i
    cdef int code
    wide(frame, ins.a, n)
    wide(frame, ins.b, n)
    both_valid(frame, ins.dst, a, b, n)
    d.data = data_buffer(frame, ins.dst)
    d.scalar = False
    if type == TYPE_F64:
        arithmetic_f64(ins.sub, <const double *>a.data, <const double *>b.data, b.scalar, n, <double *>d.data)
        carry_err(frame, ins.dst, a, b, n)
        return 0
    carry_err(frame, ins.dst, a, b, n)
    if track:
        err = err_buffer(frame, ins.dst)
        if d.err == NULL:
            memset(err, 0, n)
    if type == TYPE_I64:
        code = arithmetic_i64(ins.sub, <const int64_t *>a.data, <const int64_t *>b.data, b.scalar, n, d.valid, err,
                              <int64_t *>d.data)
    else:
        code = arithmetic_u64(ins.sub, <const uint64_t *>a.data, <const uint64_t *>b.data, b.scalar, n, d.valid, err,
                              <uint64_t *>d.data)
    if code and track:
        d.err = err
        valid = valid_buffer(frame, ins.dst)
        if d.valid == NULL:
            memset(valid, 1, n)
            d.valid = valid
        for i in range(n):
            if err[i]:
                valid[i] = 0
    return code


cdef int negate(Frame *frame, const Instruction *ins, int type, int64_t n, bint track) noexcept nogil:
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef int64_t i
    cdef int code = 0
    cdef int64_t *x
    cdef int64_t *y
    cdef uint8_t *err = err_buffer(frame, ins.dst)
    wide(frame, ins.a, n)
    both_valid(frame, ins.dst, a, a, n)
    d.data = data_buffer(frame, ins.dst)
    d.scalar = False
    carry_err(frame, ins.dst, a, NULL, n)
    if type == TYPE_F64:
        for i in range(n):
            (<double *>d.data)[i] = -(<double *>a.data)[i]
        return 0
    x = <int64_t *>a.data
    y = <int64_t *>d.data
    for i in range(n):
        if x[i] == INT64_MIN and (d.valid == NULL or d.valid[i]):
            code = 1
            y[i] = 0
            if track:
                if d.err == NULL:
                    memset(err, 0, n)
                    d.err = err
                if d.valid == NULL:
                    d.valid = valid_buffer(frame, ins.dst)
                    memset(d.valid, 1, n)
                err[i] = 1
                d.valid[i] = 0
        else:
            y[i] = <int64_t>(-<uint64_t>x[i])
    return code


cdef void logic(Frame *frame, const Instruction *ins, int64_t n) noexcept nogil:
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *b = &frame.registers[ins.b]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef uint8_t *out = <uint8_t *>data_buffer(frame, ins.dst)
    cdef uint8_t *err = NULL
    cdef uint8_t *valid
    d.scalar = False
    if a.valid == NULL and b.valid == NULL:
        if ins.op == OP_AND:
            and_bytes(<const uint8_t *>a.data, <const uint8_t *>b.data, n, out)
        else:
            or_bytes(<const uint8_t *>a.data, <const uint8_t *>b.data, n, out)
        d.valid = NULL
        d.err = NULL
        d.data = out
        return
    if a.err != NULL or b.err != NULL:
        err = err_buffer(frame, ins.dst)
    valid = valid_buffer(frame, ins.dst)
    kleene(ins.op == OP_OR, <const uint8_t *>a.data, a.valid, a.err, <const uint8_t *>b.data, b.valid, b.err, n, out,
           valid, err)
    d.data = out
    d.valid = valid
    d.err = err


cdef int cast(Frame *frame, const Instruction *ins, int source, int target, int64_t n, bint track) noexcept nogil:
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef int64_t i
    wide(frame, ins.a, n)
    both_valid(frame, ins.dst, a, a, n)
    d.data = data_buffer(frame, ins.dst)
    d.scalar = False
    carry_err(frame, ins.dst, a, NULL, n)
    if target == TYPE_F64:
        if source == TYPE_U64:
            cast_u64_f64(<const uint64_t *>a.data, n, <double *>d.data)
        else:
            cast_i64_f64(<const int64_t *>a.data, n, <double *>d.data)
    elif target == TYPE_I64 and source == TYPE_BOOL:
        for i in range(n):
            (<int64_t *>d.data)[i] = (<uint8_t *>a.data)[i]
    elif target == TYPE_U64 and source == TYPE_I64:     # verified: only of non-negative values
        memcpy(d.data, a.data, n * 8)
    return 0


# ---------------------------------------------------------------- binding

cdef class Program:
    """A verified expression program.

    Args:
        instructions: tuples (op, sub, dst, a, b, imm) with the numbers of OPS, COMPARISONS, ARITHMETIC.
        registers: the TYPES number of each register.
        inputs: the TYPES number of each input.
        constants: pairs (TYPES number, value or None); str values as bytes.
        sets: triples (TYPES number, list of values, has_null).
        results: registers that hold the results, in order.

    Raises:
        ValueError: an instruction names a register, input, constant or set that is not there, or mixes types.
    """

    def __cinit__(self, list instructions, list registers, list inputs, list constants, list sets, list results):
        cdef int i
        cdef Instruction *ins
        cdef set written = set()
        self._keep = []
        self.n_instructions = len(instructions)
        self.n_registers = len(registers)
        self.n_inputs = len(inputs)
        self.n_constants = len(constants)
        self.n_sets = len(sets)
        self.n_results = len(results)
        self.instructions = <Instruction *>calloc(self.n_instructions + 1, sizeof(Instruction))
        self.types = <int32_t *>calloc(self.n_registers + 1, sizeof(int32_t))
        self.input_types = <int32_t *>calloc(self.n_inputs + 1, sizeof(int32_t))
        self.results = <int32_t *>calloc(self.n_results + 1, sizeof(int32_t))
        self.sets = <ValueSet *>calloc(self.n_sets + 1, sizeof(ValueSet))
        self.constants = <int64_t *>calloc(self.n_constants + 1, sizeof(int64_t))
        self.constant_text = <Str *>calloc(self.n_constants + 1, sizeof(Str))
        self.constant_null = <uint8_t *>calloc(self.n_constants + 1, 1)
        self.constant_types = <int32_t *>calloc(self.n_constants + 1, sizeof(int32_t))
        if (self.instructions == NULL or self.types == NULL or self.input_types == NULL or self.results == NULL
                or self.sets == NULL or self.constants == NULL or self.constant_text == NULL
                or self.constant_null == NULL or self.constant_types == NULL):
            raise MemoryError("no memory for an expression program")
        for i in range(self.n_registers):
            self.types[i] = self._type(registers[i])
        for i in range(self.n_inputs):
            self.input_types[i] = self._type(inputs[i])
        for i in range(self.n_constants):
            self._constant(i, constants[i])
        for i in range(self.n_sets):
            self._set(&self.sets[i], sets[i])
        for i in range(self.n_results):
            self.results[i] = results[i]
            self._register(self.results[i])
        for i in range(self.n_instructions):
            ins = &self.instructions[i]
            ins.op, ins.sub, ins.dst, ins.a, ins.b, ins.imm = instructions[i]
            self._verify(ins, written)
            written.add(ins.dst)
        if not written.issuperset(results):
            raise ValueError("a result's register is never written")

    def __dealloc__(self):
        cdef int i
        if self.sets != NULL:
            for i in range(self.n_sets):
                free(self.sets[i].values)
        free(self.instructions)
        free(self.types)
        free(self.input_types)
        free(self.results)
        free(self.sets)
        free(self.constants)
        free(self.constant_text)
        free(self.constant_null)
        free(self.constant_types)

    cdef int _type(self, object number) except -1:
        if number not in TYPES.values():
            raise ValueError(f"no such register type: {number!r}")
        return number

    cdef int _register(self, int register) except -1:
        if register < 0 or register >= self.n_registers:
            raise ValueError(f"register {register} is not one of {self.n_registers}")
        return 0

    cdef int _number(self, int type, object value, int64_t *out) except -1:
        """The bits of a number in a register of this type."""
        cdef double real
        cdef uint64_t unsigned_
        if type == TYPE_F64:
            real = value
            memcpy(out, &real, 8)
        elif type == TYPE_U64:
            unsigned_ = value
            memcpy(out, &unsigned_, 8)
        else:
            out[0] = value
        return 0

    cdef int _text(self, object value, Str *out) except -1:
        cdef bytes text = value
        self._keep.append(text)
        out.data = <const uint8_t *><const char *>text
        out.size = len(text)
        return 0

    cdef int _constant(self, int i, object pair) except -1:
        kind, value = pair
        self.constant_types[i] = self._type(kind)
        if value is None:
            self.constant_null[i] = 1
        elif kind == TYPE_STR:
            self._text(value, &self.constant_text[i])
        else:
            self._number(kind, value, &self.constants[i])
        return 0

    cdef int _set(self, ValueSet *s, object triple) except -1:
        cdef int64_t i
        kind, values, has_null = triple
        values = sorted(set(values))
        s.type = self._type(kind)
        s.has_null = bool(has_null)
        s.count = len(values)
        s.values = calloc(s.count + 1, 16)
        if s.values == NULL:
            raise MemoryError("no memory for an IN list")
        for i in range(s.count):
            if kind == TYPE_STR:
                self._text(values[i], &(<Str *>s.values)[i])
            else:
                self._number(kind, values[i], &(<int64_t *>s.values)[i])
        return 0

    cdef int _verify(self, Instruction *ins, set written) except -1:
        cdef int op = ins.op
        cdef int d, a = 0, b = 0
        self._register(ins.dst)
        if ins.dst in written:
            raise ValueError(f"register {ins.dst} is written twice")
        d = self.types[ins.dst]
        if op != OP_LOAD and op != OP_CONST and op != OP_COLUMN_IN:
            self._register(ins.a)
            a = self.types[ins.a]
            if ins.a not in written:
                raise ValueError(f"register {ins.a} is read before it is written")
        if op in (OP_COMPARE, OP_ARITHMETIC, OP_AND, OP_OR):
            self._register(ins.b)
            b = self.types[ins.b]
            if ins.b not in written:
                raise ValueError(f"register {ins.b} is read before it is written")
        ok = False
        if op == OP_LOAD:
            ok = 0 <= ins.imm < self.n_inputs and self.input_types[ins.imm] == d
        elif op == OP_CONST:
            ok = 0 <= ins.imm < self.n_constants and self.constant_types[ins.imm] == d
        elif op == OP_COMPARE:
            ok = 0 <= ins.sub < 6 and d == TYPE_BOOL and (a == b or (a == TYPE_U64 and b == TYPE_I64))
        elif op == OP_ARITHMETIC:
            ok = 0 <= ins.sub < 5 and a == b == d and a in (TYPE_I64, TYPE_U64, TYPE_F64)
            self.can_fault = self.can_fault or a != TYPE_F64
        elif op == OP_NEGATE:
            ok = a == d and a in (TYPE_I64, TYPE_F64)
            self.can_fault = self.can_fault or a != TYPE_F64
        elif op == OP_AND or op == OP_OR:
            ok = a == b == d == TYPE_BOOL
        elif op == OP_NOT:
            ok = a == d == TYPE_BOOL
        elif op == OP_IS_NULL or op == OP_IS_NOT_NULL:
            ok = d == TYPE_BOOL
        elif op == OP_CAST:
            ok = (d == TYPE_F64 and a in (TYPE_I64, TYPE_U64)) or (d == TYPE_I64 and a == TYPE_BOOL) or \
                 (d == TYPE_U64 and a == TYPE_I64)
        elif op == OP_IN:
            ok = 0 <= ins.imm < self.n_sets and d == TYPE_BOOL and self.sets[ins.imm].type == a
        elif op == OP_COLUMN_IN:
            ok = (0 <= ins.a < self.n_inputs and self.input_types[ins.a] == TYPE_STR and d == TYPE_BOOL
                  and 0 <= ins.imm < self.n_sets and self.sets[ins.imm].type == TYPE_STR)
        if not ok:
            raise ValueError(f"instruction {(ins.op, ins.sub, ins.dst, ins.a, ins.b, ins.imm)} does not fit its operands")
        return 0

    cdef int frame_init(self, Frame *frame) noexcept nogil:
        """Gives a frame its registers; constants are filled in once and stay."""
        cdef int i, k
        cdef int64_t row
        cdef Vec *d
        cdef Instruction *ins
        memset(frame, 0, sizeof(Frame))
        frame.registers = <Vec *>calloc(self.n_registers + 1, sizeof(Vec))
        frame.memory = calloc(self.n_registers + 1, CHUNK * (VALUE_BYTES + 2))
        frame.tables = <uint8_t **>calloc(self.n_instructions + 1, sizeof(uint8_t *))
        frame.table_of = <const Column **>calloc(self.n_instructions + 1, sizeof(void *))
        frame.table_capacity = <int64_t *>calloc(self.n_instructions + 1, sizeof(int64_t))
        frame.text = <Str *>calloc(CHUNK, sizeof(Str))
        if (frame.registers == NULL or frame.memory == NULL or frame.tables == NULL or frame.table_of == NULL
                or frame.table_capacity == NULL or frame.text == NULL):
            self.frame_free(frame)
            return STATUS_NO_MEMORY
        for i in range(self.n_instructions):
            ins = &self.instructions[i]
            if ins.op != OP_CONST:
                continue
            d = &frame.registers[ins.dst]
            d.data = data_buffer(frame, ins.dst)
            d.scalar = True
            k = ins.imm
            if self.constant_null[k]:
                d.valid = valid_buffer(frame, ins.dst)      # calloc: all zero, so all null
                continue
            for row in range(CHUNK):
                if self.constant_types[k] == TYPE_STR:
                    (<Str *>d.data)[row] = self.constant_text[k]
                elif self.constant_types[k] == TYPE_BOOL:
                    (<uint8_t *>d.data)[row] = <uint8_t>self.constants[k]
                else:
                    (<int64_t *>d.data)[row] = self.constants[k]
        return STATUS_OK

    cdef void frame_free(self, Frame *frame) noexcept nogil:
        cdef int i
        if frame.tables != NULL:
            for i in range(self.n_instructions):
                free(frame.tables[i])
        free(frame.tables)
        free(<void *>frame.table_of)
        free(frame.table_capacity)
        free(frame.registers)
        free(frame.memory)
        free(frame.text)
        memset(frame, 0, sizeof(Frame))

    cdef int prepare(self, Frame *frame, const Input *inputs, int64_t n_rows) noexcept nogil:
        """Once per batch: answers IN for each value of a dictionary that is not larger than the batch."""
        cdef int i
        cdef int64_t code, size
        cdef Instruction *ins
        cdef const Column *c
        cdef ValueSet *s
        cdef Str key
        cdef uint8_t *table
        for i in range(self.n_instructions):
            ins = &self.instructions[i]
            if ins.op != OP_COLUMN_IN:
                continue
            frame.table_of[i] = NULL
            c = inputs[ins.a].column
            if c == NULL or c.kind != KIND_DICT:
                continue
            size = c.dictionary.length
            if size > 2 * n_rows + 64:
                continue
            s = &self.sets[ins.imm]
            if size > frame.table_capacity[i] or frame.tables[i] == NULL:
                table = <uint8_t *>realloc(frame.tables[i], size + 1)
                if table == NULL:
                    return STATUS_NO_MEMORY
                frame.tables[i] = table
                frame.table_capacity[i] = size
            table = frame.tables[i]
            for code in range(size):
                if not column_valid(c.dictionary, code):
                    table[code] = 2
                    continue
                column_bytes(c.dictionary, code, &key.data, &key.size)
                table[code] = set_has_str(s, &key)
                if s.has_null and not table[code]:
                    table[code] = 2
            frame.table_of[i] = c
        return STATUS_OK

    cdef int _pass(self, Frame *frame, const Input *inputs, int64_t start, int64_t n, bint track) noexcept nogil:
        """One run over the instructions; returns the first fault's code unless it tracks them."""
        cdef int i, code = 0, ta
        cdef int64_t row
        cdef Instruction *ins
        cdef Vec *a
        cdef Vec *d
        for i in range(self.n_instructions):
            ins = &self.instructions[i]
            if ins.op == OP_CONST:
                continue
            elif ins.op == OP_LOAD:
                load(frame, ins.dst, self.types[ins.dst], &inputs[ins.imm], start, n)
            elif ins.op == OP_COMPARE:
                compare(frame, ins, self.types[ins.a], self.types[ins.b], n)
            elif ins.op == OP_ARITHMETIC:
                code = arithmetic(frame, ins, self.types[ins.dst], n, track)
            elif ins.op == OP_AND or ins.op == OP_OR:
                logic(frame, ins, n)
            elif ins.op == OP_NOT:
                a = &frame.registers[ins.a]
                d = &frame.registers[ins.dst]
                both_valid(frame, ins.dst, a, a, n)
                d.data = data_buffer(frame, ins.dst)
                d.scalar = False
                not_bytes(<const uint8_t *>a.data, n, <uint8_t *>d.data)
                carry_err(frame, ins.dst, a, NULL, n)
            elif ins.op == OP_IS_NULL or ins.op == OP_IS_NOT_NULL:
                a = &frame.registers[ins.a]
                d = &frame.registers[ins.dst]
                d.data = data_buffer(frame, ins.dst)
                d.scalar = False
                d.valid = NULL
                if a.valid == NULL:
                    memset(d.data, ins.op == OP_IS_NOT_NULL, n)
                else:
                    for row in range(n):
                        (<uint8_t *>d.data)[row] = a.valid[row] ^ (ins.op == OP_IS_NULL)
                carry_err(frame, ins.dst, a, NULL, n)
            elif ins.op == OP_CAST:
                code = cast(frame, ins, self.types[ins.a], self.types[ins.dst], n, track)
            elif ins.op == OP_NEGATE:
                code = negate(frame, ins, self.types[ins.dst], n, track)
            elif ins.op == OP_IN:
                ta = self.types[ins.a]
                wide(frame, ins.a, n)
                in_set(frame, ins.dst, &frame.registers[ins.a], ta, &self.sets[ins.imm], n)
            else:
                if inputs[ins.a].column == NULL:
                    in_set(frame, ins.dst, &inputs[ins.a].vec, TYPE_STR, &self.sets[ins.imm], n)
                else:
                    column_in(frame, i, ins.dst, inputs[ins.a].column, &self.sets[ins.imm], start, n)
            if code and not track:
                return code
        for i in range(self.n_results):
            wide(frame, self.results[i], n)
        return 0

    cdef int run(self, Frame *frame, const Input *inputs, int64_t start, int64_t n, Fault *fault) noexcept nogil:
        cdef int i, code
        cdef int64_t row, first = -1
        cdef int item = -1
        cdef Vec *r
        if self._pass(frame, inputs, start, n, False) == 0:
            return STATUS_OK
        self._pass(frame, inputs, start, n, True)
        for i in range(self.n_results):
            r = &frame.registers[self.results[i]]
            if r.err == NULL:
                continue
            for row in range(n):
                if r.err[row] and (first < 0 or row < first):
                    first = row
                    item = i
                    break
        if first < 0:
            return STATUS_OK
        code = frame.registers[self.results[item]].err[first]
        fault_set(fault, STATUS_OVERFLOW if code == 1 else STATUS_DIVISION, start + first, item, 0, 0, NULL)
        self._blame(frame, first, fault)
        return fault.code

    cdef void _blame(self, Frame *frame, int64_t row, Fault *fault) noexcept nogil:
        """Finds the instruction that faulted in this row, and its operands: registers are written once, and still hold them."""
        cdef int i
        cdef Instruction *ins
        cdef Vec *a
        cdef Vec *b
        for i in range(self.n_instructions):
            ins = &self.instructions[i]
            if ins.op != OP_ARITHMETIC and ins.op != OP_NEGATE:
                continue
            a = &frame.registers[ins.a]
            b = &frame.registers[ins.b if ins.op == OP_ARITHMETIC else ins.a]
            if frame.registers[ins.dst].err == NULL or not frame.registers[ins.dst].err[row]:
                continue
            if (a.err != NULL and a.err[row]) or (b.err != NULL and b.err[row]):
                continue
            fault.value = (<int64_t *>a.data)[row]
            fault.other = (<int64_t *>b.data)[row] if ins.op == OP_ARITHMETIC else 0
            fault.text = SYMBOLS[ins.sub] if ins.op == OP_ARITHMETIC else SYMBOLS[1]
            return
