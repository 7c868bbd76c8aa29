"""Captures: what definitions read of the match so far, and whether they hold.

What        A definition's *rest* is a program whose inputs are values of the row in question, of rows that the match so
            far has mapped (FIRST, LAST, by variable and offset), of rows beside those (PREV, NEXT), and aggregates.
Registers   Each thread has a block of words with just what its definitions can still ask for: the first and last few rows
            of some variables, and aggregates half way. A step copies the block and adds one row, in constant time, however
            long the match is. Blocks of equal words have equal futures, and such threads are merged. What cannot be read
            any more (`forget`, by the automaton's position) is blanked, so that more blocks are equal.
Without     If `registers` is NULL the thread's trace is walked instead, from the last row to the first, for each question.
            That is the slow way, for what no register can hold, and the judge of the quick one in tests.
Lists       ARRAY_AGG, and aggregates over texts that a program computes, exist in this way only. Their bytes are in
            scratch columns (`pool`, `lists`), which are emptied before each question; registers.pxd has a list's form.
Not yet     A source that walks to a row which has not come makes the verdict NOT_YET. At the end of input it is NULL.
Source      registers on threads: Laurikari's tagged automata, used for conditions as in Trino's matcher; the semantics of
            running values in definitions: ISO/IEC 19075-5, 4.14 and 5.3.
Cost        per row and thread some 20 ns for the block and 20 ns per instruction of the program.
"""
cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from .aggregate cimport (AGG_ANY_VALUE, AGG_MAX, AGG_MAX_BY, AGG_MIN, AGG_MIN_BY, N_FUNCTIONS, Accumulator, Datum,
                         accumulator_add, accumulator_value, datum_read, text_at)
from .builder cimport OutColumn, out_free, out_init, out_push_bytes, out_truncate
from .column cimport KIND_UTF8
from .expression cimport Program
from .history cimport NO_ROW, ROW_UNKNOWN, History, history_walk
from .registers cimport TAG_NULL, TAG_TEXT, TAG_WORD, TYPE_BOOL, TYPE_I64, TYPE_STR, Vec
from .seek cimport is_nan, seek_word
from .status cimport STATUS_NO_MEMORY, STATUS_OK, Fault, fault_set
from .vector cimport Str


SOURCES = {"row": SOURCE_ROW, "first": SOURCE_FIRST, "last": SOURCE_LAST, "aggregate": SOURCE_AGGREGATE,
           "number": SOURCE_NUMBER}
CAPTURES = {"first": CAPTURE_FIRST, "last": CAPTURE_LAST, "aggregate": CAPTURE_AGGREGATE}
LABEL = LABEL_COLUMN
NUMBER = NUMBER_COLUMN
LIST = FUNCTION_LIST


cdef enum:
    UNKNOWN_INPUT = 100         # in place of a fault's code: the row has not come


cdef inline uint64_t slot_of(int32_t row, int variable) noexcept nogil:
    return <uint64_t><uint32_t>row | (<uint64_t>variable << 32)


cdef inline int32_t slot_row(uint64_t slot) noexcept nogil:
    return <int32_t><uint32_t>slot


cdef inline int slot_variable(uint64_t slot) noexcept nogil:
    return <int>(slot >> 32)


cdef inline bint among(uint64_t variables, int variable) noexcept nogil:
    return (variables >> variable) & 1


cdef inline bint is_between(const History *h, int32_t row, int32_t start, int32_t cursor) noexcept nogil:
    """Whether a row is one of those that an attempt from `start` to `cursor` has consumed."""
    return start <= row <= cursor and h.track[row] == h.track[start]


@cython.no_gc_clear     # __dealloc__ needs the programs: the collector must not have taken them away by then
cdef class Definitions:
    """The rests of a pattern's definitions, verified.

    Args:
        rests: (Program, [(kind, capture, slot, physical, column, type, current), …]) each; its results, booleans, are
            the conjuncts.
        keys: the same, with a result of any type: what a thread's exits search for (seek).
        captures: (kind, count, variables, function, argument, by) each; see captures.pxd.
        operands: (column of the history or -1, type, result of the program) each: arguments of aggregates.
        operand_program: (Program, [(column, type), …]) over the history's columns, or None.
        names: of the variables, as bytes.
        columns: register type of each column of the history.
        traced: no registers: the trace is walked.

    Raises:
        ValueError: a number is out of range.
    """

    def __cinit__(self, list rests, list keys, list captures, list operands, object operand_program, list names,
                  list columns,
                  bint traced):
        cdef int i, k, n = 0, at = 0
        cdef Source *s
        cdef Capture *c
        cdef Program program
        cdef bytes name
        self.n_rests = len(rests)
        self.n_keys = len(keys)
        rests = [*rests, *keys]
        for i in range(len(rests)):
            n += len(rests[i][1])
        self.n_captures = len(captures)
        self.n_operands = len(operands)
        self.names = names
        self.traced = traced
        if self.n_captures > 64 and not traced:
            raise ValueError("at most 64 captures fit a mask")
        self.program = <void **>calloc(self.n_rests + self.n_keys + 1, sizeof(void *))
        self.frames = <Frame *>calloc(self.n_rests + self.n_keys + 1, sizeof(Frame))
        self.rests = <Rest *>calloc(self.n_rests + self.n_keys + 1, sizeof(Rest))
        self.sources = <Source *>calloc(n + 1, sizeof(Source))
        self.inputs = <Input *>calloc(n + 1, sizeof(Input))
        self.values = <Str *>calloc(n + 1, sizeof(Str))
        self.valid = <uint8_t *>calloc(n + 1, 1)
        self.unknown = <uint8_t *>calloc(n + 1, 1)
        self.pooled = <Datum *>calloc(n + 1, sizeof(Datum))
        self.captures = <Capture *>calloc(self.n_captures + 1, sizeof(Capture))
        self.operands = <Operand *>calloc(self.n_operands + 1, sizeof(Operand))
        self.name = <Str *>calloc(len(names) + 1, sizeof(Str))
        if (self.program == NULL or self.frames == NULL or self.rests == NULL or self.sources == NULL or self.inputs == NULL
                or self.unknown == NULL or self.values == NULL or self.valid == NULL or self.captures == NULL or
                self.operands == NULL
                or self.name == NULL or self.pooled == NULL):
            raise MemoryError("no memory for a pattern's definitions")
        out_init(&self.labels, KIND_UTF8, 0)
        out_init(&self.pool, KIND_UTF8, 0)
        out_init(&self.lists, KIND_UTF8, 0)
        for i in range(len(names)):
            name = names[i]
            self.name[i].data = <const uint8_t *><const char *>name
            self.name[i].size = len(name)
            if out_push_bytes(&self.labels, self.name[i].data, self.name[i].size) != STATUS_OK:
                raise MemoryError("no memory for a pattern's definitions")
        for i in range(self.n_captures):
            c = &self.captures[i]
            c.kind, c.count, c.variables, c.function, c.argument, c.by = captures[i]
            if c.kind == CAPTURE_AGGREGATE:
                c.words = sizeof(Accumulator) // 8
                if not 0 <= c.function < N_FUNCTIONS + traced:
                    raise ValueError(f"no aggregate {c.function}")
                for k in (c.argument, c.by):
                    if not -1 <= k < self.n_operands:
                        raise ValueError(f"no operand {k}")
            else:
                c.words = c.count
                c.overwritten = c.kind == CAPTURE_LAST and c.count == 1
                if c.kind not in (CAPTURE_FIRST, CAPTURE_LAST) or not 1 <= c.count < 1 << 20:
                    raise ValueError("a capture holds at least one row")
            c.word = self.n_words
            if not traced:
                self.n_words += c.words
        for i in range(self.n_operands):
            self.operands[i].column, self.operands[i].type, self.operands[i].result = operands[i]
            self._check_column(self.operands[i].column, self.operands[i].type, columns, -1)
        self._bind_operands(operand_program, columns)
        for i in range(self.n_rests + self.n_keys):
            program, sources = rests[i]
            if program.n_inputs != len(sources) or program.n_results < 1 or \
                    (i >= self.n_rests and program.n_results > 1) or \
                    (i < self.n_rests and any([program.types[program.results[k]] != TYPE_BOOL
                                               for k in range(program.n_results)])):
                raise ValueError("a rest has one result, a boolean, and a source for each input")
            Py_INCREF(program)      # the collector may empty a list that holds it before __dealloc__ needs it
            self.program[i] = <void *>program
            self.rests[i].first_input = at
            self.rests[i].n_sources = len(sources)
            self.rests[i].sources = self.sources + at
            for k in range(len(sources)):
                s = &self.sources[at]
                s.kind, s.capture, s.slot, s.physical, s.column, s.type, s.current = sources[k]
                self._check_source(s, program.input_types[k], columns)
                if i >= self.n_rests and (s.kind == SOURCE_ROW or s.current or s.physical > 0):
                    raise ValueError("a key is known before the row that it is compared with")
                if s.kind == SOURCE_FIRST or s.kind == SOURCE_LAST or s.kind == SOURCE_AGGREGATE:
                    self.rests[i].reads |= <uint64_t>1 << (s.capture & 63)
                self.back = max(self.back, -s.physical)
                self.ahead = max(self.ahead, s.physical)
                self.inputs[at].vec.data = &self.values[at]
                self.inputs[at].vec.valid = &self.valid[at]
                at += 1
            if program.frame_init(&self.frames[i]) != STATUS_OK:
                raise MemoryError("no memory for a pattern's definitions")

    cdef _check_source(self, const Source *s, int type, list columns):
        if s.type != type:
            raise ValueError("a source has another type than its input")
        if s.kind == SOURCE_NUMBER:
            if type != TYPE_I64:
                raise ValueError("a match's number is an integer")
            return
        if s.kind == SOURCE_FIRST or s.kind == SOURCE_LAST or s.kind == SOURCE_AGGREGATE:
            if not 0 <= s.capture < self.n_captures:
                raise ValueError(f"no capture {s.capture}")
            if self.captures[s.capture].kind != s.kind - SOURCE_FIRST:
                raise ValueError("a source reads a capture of another kind")
            if s.kind != SOURCE_AGGREGATE and not 0 <= s.slot < self.captures[s.capture].count:
                raise ValueError(f"no slot {s.slot}")
        elif s.kind != SOURCE_ROW:
            raise ValueError(f"no source {s.kind}")
        if s.kind != SOURCE_AGGREGATE:
            if s.column == LABEL_COLUMN:
                if type != TYPE_STR:
                    raise ValueError("a variable's name is text")
            elif not 0 <= s.column < len(columns) or columns[s.column] != type:
                raise ValueError(f"no column {s.column} of this type")

    cdef _bind_operands(self, object operand_program, list columns):
        cdef int i
        cdef int n_results = 0
        if operand_program is not None:
            self.operand_program, sources = operand_program
            n_results = self.operand_program.n_results
            if self.operand_program.n_inputs != len(sources):
                raise ValueError("the operands' program has another number of inputs")
            self.operand_inputs = <Input *>calloc(len(sources) + 1, sizeof(Input))
            self.operand_sources = <Operand *>calloc(len(sources) + 1, sizeof(Operand))
            self.operand_values = <Str *>calloc(len(sources) + 1, sizeof(Str))
            self.operand_valid = <uint8_t *>calloc(len(sources) + 1, 1)
            if (self.operand_inputs == NULL or self.operand_sources == NULL or self.operand_values == NULL
                    or self.operand_valid == NULL or self.operand_program.frame_init(&self.operand_frame) != STATUS_OK):
                raise MemoryError("no memory for a pattern's definitions")
            self.operand_framed = True
            for i in range(len(sources)):
                self.operand_sources[i].column, self.operand_sources[i].type = sources[i]
                self._check_column(self.operand_sources[i].column, self.operand_program.input_types[i], columns, 0)
                self.operand_inputs[i].vec.data = &self.operand_values[i]
                self.operand_inputs[i].vec.valid = &self.operand_valid[i]
        for i in range(self.n_operands):
            if self.operands[i].column == -1 and not 0 <= self.operands[i].result < n_results:
                raise ValueError(f"operand {i} has no value")
            if self.operands[i].column == -1 and self._is_text(i) and not self.traced:
                raise ValueError(f"operand {i} is a text that is computed, and no register holds one")

    cdef _check_column(self, int column, int type, list columns, int least):
        if column == LABEL_COLUMN or column == NUMBER_COLUMN:
            if type != (TYPE_STR if column == LABEL_COLUMN else TYPE_I64):
                raise ValueError("a variable's name is text, a match's number an integer")
        elif not least <= column < len(columns) or (column >= 0 and columns[column] != type):
            raise ValueError(f"no column {column} of this type")

    def __dealloc__(self):
        cdef int i
        out_free(&self.labels)
        out_free(&self.pool)
        out_free(&self.lists)
        if self.program != NULL:
            for i in range(self.n_rests + self.n_keys):
                if self.program[i] == NULL:
                    continue
                if self.frames != NULL and self.frames[i].registers != NULL:
                    (<Program>self.program[i]).frame_free(&self.frames[i])
                Py_DECREF(<object>self.program[i])
        if self.operand_framed:
            self.operand_program.frame_free(&self.operand_frame)
        free(self.program)
        free(self.frames)
        free(self.rests)
        free(self.sources)
        free(self.inputs)
        free(self.values)
        free(self.valid)
        free(self.unknown)
        free(self.pooled)
        free(self.captures)
        free(self.operands)
        free(self.operand_inputs)
        free(self.operand_sources)
        free(self.operand_values)
        free(self.operand_valid)
        free(self.name)
        free(self.path_rows)
        free(self.path_variables)

    # ------------------------------------------------------------ a thread's block

    cdef void blank(self, uint64_t *registers) noexcept nogil:
        self.forget(registers, 0)

    cdef void forget(self, uint64_t *registers, uint64_t kept) noexcept nogil:
        cdef int i
        cdef const Capture *c
        for i in range(self.n_captures):
            if (kept >> i) & 1:
                continue
            c = &self.captures[i]
            memset(registers + c.word, 0 if c.kind == CAPTURE_AGGREGATE else 0xff, c.words * 8)

    cdef int capture(self, const History *h, uint64_t *registers, int32_t row, int variable, int64_t number,
                     Fault *fault) noexcept nogil:
        cdef int i, k, status
        cdef const Capture *c
        cdef uint64_t *slots
        cdef Datum value, key
        for i in range(self.n_captures):
            c = &self.captures[i]
            if not among(c.variables, variable):
                continue
            slots = registers + c.word
            if c.kind == CAPTURE_LAST:
                for k in range(c.count - 1, 0, -1):
                    slots[k] = slots[k - 1]
                slots[0] = slot_of(row, variable)
            elif c.kind == CAPTURE_FIRST:
                for k in range(c.count):
                    if slots[k] == <uint64_t>NO_SLOT:
                        slots[k] = slot_of(row, variable)
                        break
            else:
                status = self._operand(h, c.argument, row, variable, number, &value, fault)
                if status == STATUS_OK:
                    status = self._operand(h, c.by, row, variable, number, &key, fault)
                if status != STATUS_OK:
                    return status
                accumulator_add(<Accumulator *>slots, c.function, &value, &key)
        return STATUS_OK

    cdef void mark(self, History *h, uint64_t *registers) noexcept nogil:
        cdef int i, k
        cdef const Capture *c
        cdef const Accumulator *a
        for i in range(self.n_captures):
            c = &self.captures[i]
            if c.kind == CAPTURE_AGGREGATE:
                a = <Accumulator *>(registers + c.word)
                if a.rows[0] and self._of_history(c.argument):
                    h.marks[a.rows[0] - 1] = 1
                if a.rows[1] and self._of_history(c.by):
                    h.marks[a.rows[1] - 1] = 1
                continue
            for k in range(c.count):
                if registers[c.word + k] != <uint64_t>NO_SLOT:
                    h.marks[slot_row(registers[c.word + k])] = 1

    cdef void renumber(self, const History *h, uint64_t *registers) noexcept nogil:
        cdef int i, k
        cdef const Capture *c
        cdef Accumulator *a
        cdef uint64_t *slot
        for i in range(self.n_captures):
            c = &self.captures[i]
            if c.kind == CAPTURE_AGGREGATE:
                a = <Accumulator *>(registers + c.word)
                if a.rows[0] and self._of_history(c.argument):
                    a.rows[0] = h.renumbered[a.rows[0] - 1] + 1
                if a.rows[1] and self._of_history(c.by):
                    a.rows[1] = h.renumbered[a.rows[1] - 1] + 1
                continue
            for k in range(c.count):
                slot = &registers[c.word + k]
                if slot[0] != <uint64_t>NO_SLOT:
                    slot[0] = slot_of(h.renumbered[slot_row(slot[0])], slot_variable(slot[0]))

    cdef bint check(self, const History *h, const uint64_t *registers, int32_t start, int32_t cursor) noexcept nogil:
        cdef int i, k
        cdef const Capture *c
        cdef uint64_t slot
        cdef int32_t row, before
        for i in range(self.n_captures):
            c = &self.captures[i]
            if c.kind == CAPTURE_AGGREGATE:
                if not self._check_aggregate(h, c, <const Accumulator *>(registers + c.word), start, cursor):
                    return False
                continue
            for k in range(c.count):
                slot = registers[c.word + k]
                if slot == <uint64_t>NO_SLOT:
                    continue
                row = slot_row(slot)
                if slot_variable(slot) < 0 or slot_variable(slot) >= self.labels.length or \
                        not among(c.variables, slot_variable(slot)) or not is_between(h, row, start, cursor):
                    return False
                if k:
                    before = slot_row(registers[c.word + k - 1])
                    if registers[c.word + k - 1] == <uint64_t>NO_SLOT or \
                            (row <= before if c.kind == CAPTURE_FIRST else row >= before):
                        return False
        return True

    cdef bint _check_aggregate(self, const History *h, const Capture *c, const Accumulator *a, int32_t start,
                               int32_t cursor) noexcept nogil:
        cdef bint by = c.function == AGG_MIN_BY or c.function == AGG_MAX_BY
        cdef bint holds = by or c.function == AGG_MIN or c.function == AGG_MAX or c.function == AGG_ANY_VALUE
        cdef int64_t rows = 0 if cursor < 0 else h.ordinal[cursor] - h.ordinal[start] + 1
        cdef int k, operand
        if a.count < 0 or a.count > rows or a.missing not in (0, 1) or (a.missing and not (by and a.count)):
            return False
        if c.argument >= 0 and self.operands[c.argument].type == TYPE_BOOL and a.low > 1:
            return False
        for k in range(2):
            operand = c.by if k else c.argument
            if not self._is_text(operand) or not holds or a.count == 0 or (a.missing and k == 0):
                if a.rows[k] != 0:
                    return False
            elif self._of_history(operand):
                if a.rows[k] < 1 or not is_between(h, a.rows[k] - 1, start, cursor):
                    return False
            elif not 1 <= a.rows[k] <= self.labels.length:
                return False
        return True

    cdef bint _is_text(self, int operand) noexcept nogil:
        return operand >= 0 and self.operands[operand].type == TYPE_STR

    cdef bint _of_history(self, int operand) noexcept nogil:
        return operand >= 0 and self.operands[operand].column >= 0

    # ------------------------------------------------------------ aggregates' arguments on one row

    cdef void _read(self, const History *h, const Operand *o, int32_t row, int variable, int64_t number,
                    Datum *out) noexcept nogil:
        if o.column >= 0:
            datum_read(out, o.type, &h.columns[o.column], row)
        elif o.column == LABEL_COLUMN:
            datum_read(out, TYPE_STR, &self.labels, variable)
        else:
            out.type = TYPE_I64
            out.valid = True
            out.word = <uint64_t>number

    cdef int _operands(self, const History *h, int32_t row, int variable, int64_t number, Fault *fault) noexcept nogil:
        """Runs the operands' program on a row."""
        cdef int i
        cdef Datum d
        cdef const Operand *o
        for i in range(self.operand_program.n_inputs):
            o = &self.operand_sources[i]
            self._read(h, o, row, variable, number, &d)
            self.operand_valid[i] = d.valid
            if o.type == TYPE_STR:
                self.operand_values[i].data = NULL
                self.operand_values[i].size = 0
                if d.valid:
                    text_at(d.column, d.row, &self.operand_values[i])
            elif o.type == TYPE_BOOL:
                (<uint8_t *>&self.operand_values[i])[0] = <uint8_t>d.word
            else:
                (<uint64_t *>&self.operand_values[i])[0] = d.word
        return self.operand_program.run(&self.operand_frame, self.operand_inputs, 0, 1, fault)

    cdef int _operand(self, const History *h, int operand, int32_t row, int variable, int64_t number, Datum *out,
                      Fault *fault) noexcept nogil:
        cdef const Operand *o
        cdef const uint8_t *valid
        cdef const void *data
        cdef const Str *text
        cdef int status
        out.valid = False
        out.type = 0
        out.word = 0
        if operand < 0:
            return STATUS_OK
        o = &self.operands[operand]
        if o.column != -1:
            self._read(h, o, row, variable, number, out)
            return STATUS_OK
        status = self._operands(h, row, variable, number, fault)
        if status != STATUS_OK:
            return status
        data = self.operand_frame.registers[self.operand_program.results[o.result]].data
        valid = self.operand_frame.registers[self.operand_program.results[o.result]].valid
        out.type = o.type
        out.valid = valid == NULL or valid[0]
        if o.type == TYPE_STR:
            if out.valid:
                text = <const Str *>data
                status = out_push_bytes(&self.pool, text.data, text.size)
                if status != STATUS_OK:
                    return fault_set(fault, status, -1, -1, 0, 0, "a pattern's definitions")
                out.row = <int32_t>(self.pool.length - 1)
                out.column = &self.pool
            return STATUS_OK
        out.word = (<const uint8_t *>data)[0] if o.type == TYPE_BOOL else (<const uint64_t *>data)[0]
        return STATUS_OK

    # ------------------------------------------------------------ what a rest reads

    cdef int _walk_trace(self, const Path *path) noexcept nogil:
        """The recorded rows so far, oldest first, into the scratch; their number, or -1 without memory."""
        cdef int64_t n = 0, room
        cdef int32_t node = path.node
        cdef void *p
        while node >= 0:
            n += 1
            node = path.trace.nodes[node].parent
        if n > self.path_room:
            room = 2 * n + 64
            p = realloc(self.path_rows, room * sizeof(int32_t))
            if p == NULL:
                return -1
            self.path_rows = <int32_t *>p
            p = realloc(self.path_variables, room * sizeof(int32_t))
            if p == NULL:
                return -1
            self.path_variables = <int32_t *>p
            self.path_room = room
        node = path.node
        room = n
        while node >= 0:
            room -= 1
            self.path_rows[room] = path.trace.nodes[node].row
            self.path_variables[room] = path.variable[path.trace.nodes[node].position]
            node = path.trace.nodes[node].parent
        return <int>n

    cdef int _slot(self, const Source *s, const Path *path, int32_t row, int variable, int64_t length, int32_t *found,
                   int32_t *label) noexcept nogil:
        """The row, and its variable, that FIRST or LAST of `s` stands for."""
        cdef const Capture *c = &self.captures[s.capture]
        cdef int64_t i, k, count = 0
        cdef uint64_t slot
        found[0] = NO_ROW
        label[0] = -1
        if path.registers != NULL:
            slot = path.registers[c.word + s.slot]
            if slot != <uint64_t>NO_SLOT:
                found[0] = slot_row(slot)
                label[0] = slot_variable(slot)
            elif s.current and (s.slot == 0 or path.registers[c.word + s.slot - 1] != <uint64_t>NO_SLOT):
                found[0] = row
                label[0] = variable
            return 0
        for i in range(length):
            k = length - 1 - i if s.kind == SOURCE_LAST else i
            if not among(c.variables, self.path_variables[k]):
                continue
            if count == s.slot:
                found[0] = self.path_rows[k]
                label[0] = self.path_variables[k]
                return 0
            count += 1
        if s.current and count == s.slot:
            found[0] = row
            label[0] = variable
        return 0

    cdef int _aggregate(self, const History *h, const Source *s, const Path *path, int32_t row, int variable, int64_t length,
                        Datum *out, Fault *fault) noexcept nogil:
        cdef const Capture *c = &self.captures[s.capture]
        cdef Accumulator a
        cdef Datum value, key
        cdef const OutColumn *texts = NULL
        cdef int64_t i, begin = self.lists.length
        cdef int32_t at
        cdef int status, label
        memset(&a, 0, sizeof(Accumulator))
        if path.registers != NULL:
            memcpy(&a, path.registers + c.word, sizeof(Accumulator))
            length = 0
        for i in range(length + 1):
            if i < length:
                if not among(c.variables, self.path_variables[i]):
                    continue
            elif not s.current:
                break
            at = self.path_rows[i] if i < length else row
            label = self.path_variables[i] if i < length else variable
            status = self._operand(h, c.argument, at, label, path.number, &value, fault)
            if status == STATUS_OK:
                status = self._operand(h, c.by, at, label, path.number, &key, fault)
            if status == STATUS_OK and c.function == FUNCTION_LIST:
                status = self._push_element(&value, fault)
            if status != STATUS_OK:
                return status
            if c.function != FUNCTION_LIST:
                accumulator_add(&a, c.function, &value, &key)
        if c.function == FUNCTION_LIST:
            out.type = TYPE_STR
            out.valid = self.lists.length > begin
            out.row = <int32_t>begin
            out.word = <uint64_t>self.lists.length
            out.column = &self.lists
            return STATUS_OK
        if self._is_text(c.argument):
            if self._of_history(c.argument):
                texts = &h.columns[self.operands[c.argument].column]
            else:
                texts = &self.pool if self.operands[c.argument].column == -1 else &self.labels
        status = accumulator_value(&a, c.function, s.type, texts, out)
        if status != STATUS_OK:
            return fault_set(fault, status, -1, -1, 0, 0, "+")
        return STATUS_OK

    cdef int _push_element(self, const Datum *value, Fault *fault) noexcept nogil:
        """A value as an element of the list that `lists` ends with."""
        cdef uint8_t head[9]
        cdef Str text
        cdef int status
        head[0] = TAG_NULL
        if not value.valid:
            status = out_push_bytes(&self.lists, head, 1)
        elif value.type != TYPE_STR:
            head[0] = TAG_WORD
            memcpy(&head[1], &value.word, 8)
            status = out_push_bytes(&self.lists, head, 9)
        else:
            text_at(value.column, value.row, &text)
            head[0] = TAG_TEXT
            memcpy(&head[1], &text.size, 8)
            status = out_push_bytes(&self.lists, head, 9)
            if status == STATUS_OK:
                status = out_push_bytes(&self.lists, text.data, text.size)
        if status != STATUS_OK:
            fault_set(fault, status, -1, -1, 0, 0, "a pattern's definitions")
        return status

    cdef void _bind_pooled(self, const Rest *r) noexcept nogil:
        """Points the inputs at the scratch columns, which move no more."""
        cdef int i
        cdef int64_t stop
        cdef const Datum *d
        cdef Str *value
        for i in range(r.first_input, r.first_input + r.n_sources):
            d = &self.pooled[i]
            if d.column != NULL:
                stop = <int64_t>d.word if d.column == &self.lists else d.row + 1
                value = &self.values[i]
                value.data = d.column.values + d.column.offsets[d.row]
                value.size = d.column.offsets[stop] - d.column.offsets[d.row]

    cdef int _fill(self, const History *h, const Path *path, const Rest *r, int32_t row, int variable,
                   Fault *fault) noexcept nogil:
        """The inputs of a program: TRUE_ROW when they are there, else the verdict that comes of it."""
        cdef const Source *s
        cdef Str *value
        cdef uint8_t *valid
        cdef Datum d
        cdef int32_t at, label
        cdef int64_t length = 0
        cdef int i
        cdef bint pending = False
        out_truncate(&self.pool, 0)
        out_truncate(&self.lists, 0)
        if path.registers == NULL and r.reads:
            length = self._walk_trace(path)
            if length < 0:
                fault_set(fault, STATUS_NO_MEMORY, -1, -1, 0, 0, "a pattern's definitions")
                return FAULTY_ROW
        for i in range(r.n_sources):
            s = &r.sources[i]
            value = &self.values[r.first_input + i]
            valid = &self.valid[r.first_input + i]
            valid[0] = 0
            self.inputs[r.first_input + i].vec.err = NULL
            self.pooled[r.first_input + i].column = NULL
            value.data = NULL
            value.size = 0
            if s.kind == SOURCE_NUMBER:
                (<int64_t *>value)[0] = path.number
                valid[0] = 1
                continue
            if s.kind == SOURCE_AGGREGATE:
                if self._aggregate(h, s, path, row, variable, length, &d, fault) != STATUS_OK:
                    return FAULTY_ROW
            else:
                at = row
                label = variable
                if s.kind != SOURCE_ROW:
                    self._slot(s, path, row, variable, length, &at, &label)
                if at >= 0 and s.physical != 0:
                    at = history_walk(h, at, s.physical)
                    if at == ROW_UNKNOWN:
                        # Like a fault: an AND or OR may settle the row all the same.
                        self.unknown[r.first_input + i] = UNKNOWN_INPUT
                        self.inputs[r.first_input + i].vec.err = &self.unknown[r.first_input + i]
                        pending = True
                        continue
                    if s.column == LABEL_COLUMN:
                        label = variable if at == row else self._label(at, length)
                if at < 0 or (s.column == LABEL_COLUMN and label < 0):
                    continue
                if s.column == LABEL_COLUMN:
                    value[0] = self.name[label]
                    valid[0] = 1
                    continue
                datum_read(&d, s.type, &h.columns[s.column], at)
            if not d.valid:
                continue
            valid[0] = 1
            if s.type == TYPE_STR and (d.column == &self.pool or d.column == &self.lists):
                self.pooled[r.first_input + i] = d
            elif s.type == TYPE_STR:
                text_at(d.column, d.row, value)
            elif s.type == TYPE_BOOL:
                (<uint8_t *>value)[0] = <uint8_t>d.word
            else:
                (<uint64_t *>value)[0] = d.word
        self._bind_pooled(r)
        return NOT_YET if pending else TRUE_ROW

    cdef int holds(self, const History *h, const Path *path, int rest, int32_t row, int variable,
                   Fault *fault) noexcept nogil:
        cdef const Rest *r = &self.rests[rest]
        cdef int result = self._fill(h, path, r, row, variable, fault)
        cdef bint pending = result == NOT_YET
        cdef bint unknown
        cdef const Vec *out
        cdef int i
        if result == FAULTY_ROW:
            return result
        result = (<Program>self.program[rest]).run(&self.frames[rest], self.inputs + r.first_input, 0, 1, fault)
        unknown = False
        for i in range((<Program>self.program[rest]).n_results):
            # One conjunct that is FALSE or NULL settles the row, whatever the others may become.
            out = &self.frames[rest].registers[(<Program>self.program[rest]).results[i]]
            if out.err != NULL and out.err[0]:
                unknown = unknown or out.err[0] == UNKNOWN_INPUT
            elif (out.valid != NULL and not out.valid[0]) or not (<const uint8_t *>out.data)[0]:
                return FALSE_ROW
        if pending and unknown:
            return NOT_YET
        return FAULTY_ROW if result != STATUS_OK else TRUE_ROW

    cdef int key(self, const History *h, const Path *path, int key, uint64_t *value) noexcept nogil:
        cdef int at = self.n_rests + key
        cdef const Rest *r = &self.rests[at]
        cdef const Vec *out
        cdef Fault fault
        cdef int type
        memset(&fault, 0, sizeof(Fault))
        if self._fill(h, path, r, NO_ROW, -1, &fault) != TRUE_ROW or \
                (<Program>self.program[at]).run(&self.frames[at], self.inputs + r.first_input, 0, 1, &fault) != STATUS_OK:
            return KEY_ANY
        type = (<Program>self.program[at]).types[(<Program>self.program[at]).results[0]]
        out = &self.frames[at].registers[(<Program>self.program[at]).results[0]]
        if out.valid != NULL and not out.valid[0]:
            return KEY_NULL
        if is_nan(type, (<const uint64_t *>out.data)[0]):
            return KEY_NULL         # nothing is equal to it, less or greater
        if type == TYPE_STR:
            value[0] = seek_word(type, 0, (<const Str *>out.data)[0].data, (<const Str *>out.data)[0].size)
        elif type == TYPE_BOOL:
            value[0] = (<const uint8_t *>out.data)[0]
        else:
            value[0] = seek_word(type, (<const uint64_t *>out.data)[0], NULL, 0)
        return KEY_KNOWN

    cdef int32_t _label(self, int32_t row, int64_t length) noexcept nogil:
        """The variable of a row of the trace, or -1: only ever asked without registers."""
        cdef int64_t i
        for i in range(length - 1, -1, -1):
            if self.path_rows[i] == row:
                return self.path_variables[i]
        return -1
