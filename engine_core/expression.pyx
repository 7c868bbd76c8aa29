"""The expression kernel: flat, verified programs that are run column by column, a chunk of rows at a time.

What        conditions (DEFINE, triggers) and measures, compiled by tocsin.compile to instructions on registers.
Flow        LOAD input -> register ... -> the results. Every register is a vector of CHUNK rows of one type,
            with a byte per row that says whether the row is valid (SQL NULL otherwise), or none: all valid.
Logic       SQL's three-valued logic: comparisons and arithmetic with a NULL give NULL; AND / OR by Kleene's tables.
Faults      Integer overflow and integer division by zero make a row faulty. A first, quick run only detects them;
            if there is one, the chunk is run again with a fault byte per row, and an AND / OR whose other side
            settles the row takes the fault away (`b <> 0 AND a / b > 2` never raises). Only a fault that reaches
            a result is an error. So a chunk without faults pays nothing.
            IF takes the fault of the branch that it takes; CHECK makes one where its condition is FALSE.
Strings     equality and IN on a dictionary column are worked out once per dictionary value, then looked up by code.
Invariants  `Program` checks every register, type, input and constant number when it is made, and that each register is
            written once, before it is read; `run` trusts that.
            A Program is immutable and may be shared by threads; a Frame belongs to one operator.
Cost        per row and instruction about 0.1 to 1 ns for numbers (SIMD where the compiler can), 2 to 5 ns for strings.
Source      vectorised execution: Boncz, Zukowski, Nes: MonetDB/X100, CIDR 2005. Logic: SQL:2016, 6.39.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from .column cimport KIND_DICT, Column, column_bytes, column_valid
from .registers cimport (CAST_CHECK, CAST_TRY, CAST_WIDEN, CHUNK, ERR_DIVISION, ERR_OVERFLOW, LISTS_ALIKE, LISTS_EQUAL,
                         OP_AND, OP_ARITHMETIC, OP_CAST, OP_CHECK, OP_COLUMN_IN, OP_COMPARE, OP_CONST, OP_IN, OP_IF,
                         OP_IS_NOT_NULL, OP_IS_NULL, OP_LISTS, OP_LOAD, OP_MATH, OP_MATH2, OP_NEGATE, OP_NOT, OP_OR,
                         TYPE_BOOL, TYPE_F64, TYPE_I64, TYPE_STR, TYPE_U64, VALUE_BYTES, Frame, Input,
                         Instruction, ValueSet, Vec, arithmetic, both_valid, carry_err, cast, check, choose,
                         column_in, compare, compare_lists, compute, data_buffer, in_set, load, logic, negate, set_has_str,
                         valid_buffer, wide)
from .status cimport STATUS_DIVISION, STATUS_NO_MEMORY, STATUS_OK, STATUS_OVERFLOW, STATUS_VALUE, Fault, fault_set
from .vector cimport Str, not_bytes

OPS = {"load": OP_LOAD, "const": OP_CONST, "compare": OP_COMPARE, "arithmetic": OP_ARITHMETIC, "neg": OP_NEGATE,
       "and": OP_AND, "or": OP_OR, "not": OP_NOT, "is_null": OP_IS_NULL, "is_not_null": OP_IS_NOT_NULL,
       "cast": OP_CAST, "in": OP_IN, "column_in": OP_COLUMN_IN, "if": OP_IF, "math": OP_MATH, "math2": OP_MATH2,
       "check": OP_CHECK, "lists": OP_LISTS}
COMPARISONS = {"eq": 0, "ne": 1, "lt": 2, "le": 3, "gt": 4, "ge": 5}
ARITHMETIC = {"add": 0, "sub": 1, "mul": 2, "div": 3, "mod": 4}
MATH = {name: number for number, name in enumerate((
    "abs", "sign", "floor", "ceil", "round", "trunc", "sqrt", "cbrt", "exp", "ln", "log10", "log2", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "degrees", "radians", "float32"))}
MATH2 = {name: 32 + number for number, name in enumerate((
    "power", "atan2", "round_to", "trunc_to", "floor_div", "floor_mod"))}
LISTS = {"equal": LISTS_EQUAL, "alike": LISTS_ALIKE}
CASTS = {None: CAST_WIDEN, "check": CAST_CHECK, "try": CAST_TRY}
TYPES = {"i64": TYPE_I64, "u64": TYPE_U64, "f64": TYPE_F64, "bool": TYPE_BOOL, "str": TYPE_STR}

cdef const char *SYMBOLS[5]
SYMBOLS[0] = b"+"
SYMBOLS[1] = b"-"
SYMBOLS[2] = b"*"
SYMBOLS[3] = b"/"
SYMBOLS[4] = b"%"

cdef const char *RANGES[4]
RANGES[0] = b"the value is out of the range of TINYINT"
RANGES[1] = b"the value is out of the range of SMALLINT"
RANGES[2] = b"the value is out of the range of INTEGER"
RANGES[3] = b"the value is out of the range of BIGINT"


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
        if op in (OP_COMPARE, OP_ARITHMETIC, OP_AND, OP_OR, OP_IF, OP_MATH2, OP_CHECK, OP_LISTS):
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
        elif op == OP_IF:
            self._register(ins.imm)
            if ins.imm not in written:
                raise ValueError(f"register {ins.imm} is read before it is written")
            ok = a == TYPE_BOOL and b == d == self.types[ins.imm]
        elif op == OP_MATH:
            ok = a == d and (0 <= ins.sub < len(MATH) if a == TYPE_F64 else a == TYPE_I64 and 0 <= ins.sub < 2)
            self.can_fault = self.can_fault or a == TYPE_I64
        elif op == OP_MATH2:
            ok = a == b == d and (32 <= ins.sub < 36 if a == TYPE_F64 else a == TYPE_I64 and 36 <= ins.sub < 38)
            self.can_fault = self.can_fault or a == TYPE_I64
        elif op == OP_CHECK:
            ok = (a == d and b == TYPE_BOOL and 0 <= ins.imm < self.n_constants
                  and self.constant_types[ins.imm] == TYPE_STR and not self.constant_null[ins.imm])
            self.can_fault = True
        elif op == OP_LISTS:
            ok = a == b == TYPE_STR and d == TYPE_BOOL and ins.sub in (LISTS_EQUAL, LISTS_ALIKE)
        elif op == OP_CAST and ins.sub != CAST_WIDEN:
            ok = (ins.sub in (CAST_CHECK, CAST_TRY) and ins.imm in (8, 16, 32, 64) and d == TYPE_I64
                  and a in (TYPE_I64, TYPE_U64, TYPE_F64))
            self.can_fault = self.can_fault or ins.sub == CAST_CHECK
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
            elif ins.op == OP_IF:
                choose(frame, ins, self.types[ins.dst], n)
            elif ins.op == OP_MATH or ins.op == OP_MATH2:
                code = compute(frame, ins, self.types[ins.dst], n, track)
            elif ins.op == OP_CHECK:
                code = check(frame, ins, n, track)
            elif ins.op == OP_LISTS:
                compare_lists(frame, ins, n)
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
        if code == ERR_OVERFLOW:
            code = STATUS_OVERFLOW
        else:
            code = STATUS_DIVISION if code == ERR_DIVISION else STATUS_VALUE
        fault_set(fault, code, start + first, item, 0, 0, NULL)
        self._blame(frame, first, fault)
        return fault.code

    cdef void _blame(self, Frame *frame, int64_t row, Fault *fault) noexcept nogil:
        """Finds the instruction that faulted in this row, and its operands: registers are written once, and stay."""
        cdef int i
        cdef Instruction *ins
        cdef Vec *a
        cdef Vec *b
        for i in range(self.n_instructions):
            ins = &self.instructions[i]
            if ins.op not in (OP_ARITHMETIC, OP_NEGATE, OP_MATH, OP_MATH2, OP_CAST, OP_CHECK):
                continue
            a = &frame.registers[ins.a]
            b = &frame.registers[ins.b if ins.op in (OP_ARITHMETIC, OP_MATH2, OP_CHECK) else ins.a]
            if frame.registers[ins.dst].err == NULL or not frame.registers[ins.dst].err[row]:
                continue
            if (a.err != NULL and a.err[row]) or (b.err != NULL and b.err[row]):
                continue
            if fault.code == STATUS_VALUE:
                if ins.op == OP_CHECK:
                    fault.text = <const char *>self.constant_text[ins.imm].data
                elif ins.op == OP_CAST:
                    fault.text = RANGES[0 if ins.imm == 8 else 1 if ins.imm == 16 else 2 if ins.imm == 32 else 3]
                    fault.value = (<int64_t *>a.data)[row]
                    fault.other = 1
                    if self.types[ins.a] != TYPE_I64:
                        fault.other = 2 if self.types[ins.a] == TYPE_U64 else 3
                return
            if ins.op == OP_MATH or ins.op == OP_MATH2:
                fault.value = (<int64_t *>a.data)[row]
                fault.text = b"ABS"
                return
            fault.value = (<int64_t *>a.data)[row]
            fault.other = (<int64_t *>b.data)[row] if ins.op == OP_ARITHMETIC else 0
            fault.text = SYMBOLS[ins.sub] if ins.op == OP_ARITHMETIC else SYMBOLS[1]
            return
