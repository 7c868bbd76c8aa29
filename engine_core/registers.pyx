"""One instruction of an expression program on a chunk of rows: loading, comparing, computing, logic.

What        free functions on a Frame's vectors; `expression` calls one per instruction and chunk. The loops over numbers
            are in vector.hpp; here is what stands around them: NULLs, faults, constants, strings, dictionaries.
NULLs       a vector's `valid` is NULL while every row is valid, which most columns keep up through whole programs.
Faults      `err` marks rows whose integer arithmetic went wrong; such a row has no value, like a NULL, until an AND or OR
            settles it (see expression).
Invariants  registers, types and inputs were checked when the program was made.
"""
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

from .column cimport (KIND_BOOL, KIND_DICT, KIND_F32, KIND_F64, KIND_I16, KIND_I32, KIND_I64, KIND_I8, KIND_NULL,
                      KIND_U16, KIND_U32, KIND_U64, KIND_U8, Column, column_bytes, column_f64, column_i64,
                      column_valid, dictionary_code)
from .status cimport STATUS_OK
from .vector cimport (Str, and_bytes, arithmetic_f64, arithmetic_i64, arithmetic_u64, cast_i64_f64, cast_u64_f64,
                      choose_flags, choose_str, choose_u64, choose_u8, compare_f64, compare_i32, compare_i64,
                      compare_sign_str, compare_str, compare_u64, compare_u64_i64, compare_u8, fault_over, kleene,
                      load_bits, load_f32, load_i16, load_i32, load_i8, load_u16, load_u32, load_u8, math2_f64,
                      math_f64, math_i64, math_i64_fault, narrow_f64, narrow_i64, narrow_u64, or_bytes)


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


cdef void wide(Frame *frame, int register, int64_t n) noexcept nogil:
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


cdef void fault_rows(Frame *frame, int dst, int64_t n) noexcept nogil:
    """Gives dst its own `err` and `valid`, to be marked row by row."""
    cdef Vec *d = &frame.registers[dst]
    if d.err == NULL:
        d.err = err_buffer(frame, dst)
        memset(d.err, 0, n)
    if d.valid == NULL:
        d.valid = valid_buffer(frame, dst)
        memset(d.valid, 1, n)


cdef int narrow(Frame *frame, const Instruction *ins, int source, int64_t n, bint track) noexcept nogil:
    """A number to a signed integer of ins.imm bits."""
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef uint8_t *fits = <uint8_t *>frame.text      # SAFETY: scratch between two instructions; CHUNK views are larger
    cdef int64_t *out = <int64_t *>d.data
    cdef int64_t i, low = INT64_MIN, high = INT64_MAX
    cdef uint8_t *valid
    cdef bint all_fit
    if ins.imm < 64:
        low = -(<int64_t>1 << (ins.imm - 1))
        high = (<int64_t>1 << (ins.imm - 1)) - 1
    if source == TYPE_F64:
        all_fit = narrow_f64(<const double *>a.data, low, high, n, out, fits)
    elif source == TYPE_U64:
        all_fit = narrow_u64(<const uint64_t *>a.data, high, n, out, fits)
    else:
        all_fit = narrow_i64(<const int64_t *>a.data, low, high, n, out, fits)
    if all_fit:
        return 0
    if ins.sub == CAST_TRY:
        valid = valid_buffer(frame, ins.dst)
        if d.valid == NULL:
            memcpy(valid, fits, n)
            d.valid = valid
        else:
            and_bytes(d.valid, fits, n, valid)
        return 0
    all_fit = True
    for i in range(n):
        if not fits[i] and (d.valid == NULL or d.valid[i]):
            if not track:
                return ERR_RANGE
            all_fit = False
            fault_rows(frame, ins.dst, n)
            d.err[i] = ERR_RANGE
            d.valid[i] = 0
    return 0 if all_fit else ERR_RANGE


cdef int cast(Frame *frame, const Instruction *ins, int source, int target, int64_t n, bint track) noexcept nogil:
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef int64_t i
    wide(frame, ins.a, n)
    both_valid(frame, ins.dst, a, a, n)
    d.data = data_buffer(frame, ins.dst)
    d.scalar = False
    carry_err(frame, ins.dst, a, NULL, n)
    if ins.sub != CAST_WIDEN:
        return narrow(frame, ins, source, n, track)
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


cdef void choose(Frame *frame, const Instruction *ins, int type, int64_t n) noexcept nogil:
    """CASE: the value, the NULL and the fault of the branch that is taken, and of no other."""
    cdef Vec *test = &frame.registers[ins.a]
    cdef Vec *yes = &frame.registers[ins.b]
    cdef Vec *no = &frame.registers[ins.imm]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef const uint8_t *pick = <const uint8_t *>test.data
    cdef uint8_t *taken = <uint8_t *>frame.text     # SAFETY: scratch between two instructions; CHUNK views are larger
    wide(frame, ins.b, n)
    wide(frame, ins.imm, n)
    d.data = data_buffer(frame, ins.dst)
    d.scalar = False
    d.valid = NULL
    d.err = NULL
    if test.valid != NULL:
        and_bytes(pick, test.valid, n, taken)
        pick = taken
    if type == TYPE_BOOL:
        choose_u8(pick, <const uint8_t *>yes.data, <const uint8_t *>no.data, n, <uint8_t *>d.data)
    elif type == TYPE_STR:
        choose_str(pick, <const Str *>yes.data, <const Str *>no.data, n, <Str *>d.data)
    else:
        choose_u64(pick, <const uint64_t *>yes.data, <const uint64_t *>no.data, n, <uint64_t *>d.data)
    if yes.valid != NULL or no.valid != NULL or test.err != NULL:
        d.valid = valid_buffer(frame, ins.dst)
        choose_flags(pick, yes.valid, no.valid, 1, n, d.valid)
    if yes.err != NULL or no.err != NULL or test.err != NULL:
        d.err = err_buffer(frame, ins.dst)
        choose_flags(pick, yes.err, no.err, 0, n, d.err)
        if test.err != NULL:
            fault_over(test.err, n, d.err, d.valid)


cdef int compute(Frame *frame, const Instruction *ins, int type, int64_t n, bint track) noexcept nogil:
    """A function of one or two numbers of one type."""
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *b = &frame.registers[ins.b if ins.op == OP_MATH2 else ins.a]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef int64_t *x
    cdef int64_t *y
    cdef int64_t *out
    cdef int64_t i
    cdef int code, first = 0
    wide(frame, ins.a, n)
    if ins.op == OP_MATH2:
        wide(frame, ins.b, n)
    both_valid(frame, ins.dst, a, b, n)
    d.data = data_buffer(frame, ins.dst)
    d.scalar = False
    carry_err(frame, ins.dst, a, b, n)
    if type == TYPE_F64:
        if ins.op == OP_MATH2:
            math2_f64(ins.sub, <const double *>a.data, <const double *>b.data, n, <double *>d.data)
        else:
            math_f64(ins.sub, <const double *>a.data, n, <double *>d.data)
        return 0
    x = <int64_t *>a.data
    y = <int64_t *>b.data
    out = <int64_t *>d.data
    if not math_i64(ins.sub, x, y, b.scalar, n, out):
        return 0
    for i in range(n):                  # some row may have no value: which, and does it count
        code = math_i64_fault(ins.sub, x[i], y[i])
        if code and (d.valid == NULL or d.valid[i]):
            first = code
            if track:
                fault_rows(frame, ins.dst, n)
                d.err[i] = <uint8_t>code
                d.valid[i] = 0
    return first


cdef int check(Frame *frame, const Instruction *ins, int64_t n, bint track) noexcept nogil:
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *b = &frame.registers[ins.b]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef const uint8_t *fine = <const uint8_t *>b.data
    cdef int64_t i
    cdef int code = 0
    wide(frame, ins.a, n)
    both_valid(frame, ins.dst, a, a, n)
    d.data = a.data
    d.scalar = False
    d.narrow = NULL
    carry_err(frame, ins.dst, a, b, n)
    for i in range(n):
        if not fine[i] and (b.valid == NULL or b.valid[i]) and (d.err == NULL or not d.err[i]):
            code = ERR_CHECK
            if track:
                fault_rows(frame, ins.dst, n)
                d.err[i] = ERR_CHECK
                d.valid[i] = 0
    return code


cdef int next_element(const Str *text, int64_t *at, Str *element) noexcept nogil:
    """The ListTag of the element at `at`, and its bytes; `at` goes on to the next."""
    cdef int tag
    cdef int64_t size = 0
    element.data = NULL
    element.size = 0
    if at[0] >= text.size:
        return TAG_END
    tag = text.data[at[0]]
    at[0] += 1
    if tag == TAG_WORD:
        size = 8
    elif tag == TAG_TEXT and text.size - at[0] >= 8:
        memcpy(&size, text.data + at[0], 8)
        at[0] += 8
    if size < 0 or size > text.size - at[0]:
        return TAG_END
    element.data = text.data + at[0]
    element.size = size
    at[0] += size
    return tag


cdef int lists_equal(const Str *a, const Str *b, bint alike, bint real) noexcept nogil:
    """1: equal, 0: not, -1: unknown."""
    cdef int64_t i = 0, j = 0
    cdef Str x, y
    cdef double u, v
    cdef int left, right, result = 1
    while True:
        left = next_element(a, &i, &x)
        right = next_element(b, &j, &y)
        if left == TAG_END or right == TAG_END:
            return result if left == right else 0       # of another length: whatever is in them
        if left == TAG_NULL or right == TAG_NULL:
            if not alike:
                result = -1
            elif left != right:
                return 0
        elif real and x.size == 8 and y.size == 8:
            memcpy(&u, x.data, 8)
            memcpy(&v, y.data, 8)
            if u != v and not (alike and u != u and v != v):
                return 0
        elif compare_sign_str(x, y) != 0:
            return 0


cdef void compare_lists(Frame *frame, const Instruction *ins, int64_t n) noexcept nogil:
    cdef Vec *a = &frame.registers[ins.a]
    cdef Vec *b = &frame.registers[ins.b]
    cdef Vec *d = &frame.registers[ins.dst]
    cdef uint8_t *out = <uint8_t *>data_buffer(frame, ins.dst)
    cdef uint8_t *valid = valid_buffer(frame, ins.dst)
    cdef int64_t i
    cdef int equal
    both_valid(frame, ins.dst, a, b, n)
    if d.valid == NULL:
        memset(valid, 1, n)
        d.valid = valid
    d.data = out
    d.scalar = False
    for i in range(n):
        equal = 0
        if valid[i]:
            equal = lists_equal(&(<const Str *>a.data)[i], &(<const Str *>b.data)[i], ins.sub == LISTS_ALIKE, ins.imm != 0)
        out[i] = equal == 1
        valid[i] = valid[i] and equal >= 0
    carry_err(frame, ins.dst, a, b, n)
