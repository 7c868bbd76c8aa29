"""ConditionPool: what the filters of one source have in common, answered once per batch.

What        a hundred triggers on one stream ask a few dozen different questions. A filter's condition falls apart
            at its outermost ANDs into *parts*; equal parts of all filters on one source are one SharedCondition. It is
            worked out for a batch when the first filter asks, into one bit per row, and kept for the others.

                price > 180 AND size < 101     ──▶  price > 180   1001…    AND, word by word ──▶ rows 0, …
                price > 180 AND size < 96      ──▶  size < 101    1011…
                                                    size < 96     1010…

Meaning     a row passes where its condition is TRUE. Without faults (a, AND, b) is TRUE where a is TRUE and b is TRUE,
            whichever of them is NULL elsewhere: so one bit a part is enough. A condition that can fault is not taken
            apart: there the one side of an AND may have to hide the other's fault, row by row.
Equal       are parts that run the same instructions on the same columns and the same bits of constants.
Life        filters and pool belong to one worker. A filter joins when it gets its place in a table of routes (topology),
            before it runs; the worker sees it with that version of the table. Who runs already is not touched, so
            triggers may come and go at any time. A part lives as long as a filter has it.
Fresh       an answer is good for one *turn*: one batch's way through the listeners of the source, between pool_open and
            pool_close, during which the shard holds the batch. Outside of a turn, and for any other batch, filters work
            alone. So no answer can be taken for that of another batch at the same address.
Cost        for a part what its instructions cost, and 0.1 ns a row for the bits; a filter then costs about 0.05 ns a row
            and part, and 2 ns for a row that passes.
Source      predicate indexing in publish/subscribe: Fabret et al., SIGMOD 2001; bitmaps as in CORE (VLDB 2022).
"""
from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .batch cimport BatchC
from .expression cimport Program
from .registers cimport (CHUNK, OP_AND, OP_ARITHMETIC, OP_CHECK, OP_COLUMN_IN, OP_COMPARE, OP_CONST, OP_IF, OP_IN, OP_LISTS,
                         OP_LOAD, OP_MATH2, OP_OR, TYPE_F64, TYPE_STR, TYPE_U64, Instruction, ValueSet)
from .row_condition cimport RowCondition
from .status cimport STATUS_OK, Fault
from .vector cimport Str

import weakref

cdef extern from "pool.hpp" namespace "tocsin" nogil:
    void pack_bits(const uint8_t *bytes, int64_t n, uint64_t *words) noexcept


# ------------------------------------------------------------------ a condition in parts

cdef set operands(const Instruction *ins):
    """The registers that an instruction reads."""
    if ins.op in (OP_LOAD, OP_CONST, OP_COLUMN_IN):
        return set()
    if ins.op == OP_IF:
        return {ins.a, ins.b, ins.imm}
    if ins.op in (OP_COMPARE, OP_ARITHMETIC, OP_AND, OP_OR, OP_MATH2, OP_CHECK, OP_LISTS):
        return {ins.a, ins.b}
    return {ins.a}


cdef list conjuncts(Program program, int result):
    """The registers of which all must be true for `result` to be true; each once."""
    cdef int i
    cdef dict pairs = {}
    cdef list found = [], left = [result]
    cdef int register
    for i in range(program.n_instructions):
        if program.instructions[i].op == OP_AND:
            pairs[program.instructions[i].dst] = (program.instructions[i].a, program.instructions[i].b)
    while left:
        register = left.pop()
        if register in pairs:
            left.extend(reversed(pairs[register]))
        elif register not in found:
            found.append(register)
    return found


cdef object number_of(int type, int64_t bits):
    cdef double real
    if type == TYPE_F64:
        memcpy(&real, &bits, 8)
        return real
    return <uint64_t>bits if type == TYPE_U64 else bits


cdef bytes text_of(const Str *text):
    return (<const char *>text.data)[:text.size] if text.size else b""


cdef tuple constant_of(Program program, int k):
    """(value for a new Program, what tells it from others); the latter by its bits: 0.0 is not -0.0."""
    cdef int type = program.constant_types[k]
    if program.constant_null[k]:
        return (type, None), (type, None)
    if type == TYPE_STR:
        pair = type, text_of(&program.constant_text[k])
        return pair, pair
    return (type, number_of(type, program.constants[k])), (type, program.constants[k])


cdef tuple set_of(Program program, int k):
    """The same for an IN list."""
    cdef const ValueSet *s = &program.sets[k]
    cdef int64_t i
    cdef list values = [], bits = []
    for i in range(s.count):
        if s.type == TYPE_STR:
            values.append(text_of(&(<const Str *>s.values)[i]))
            bits.append(values[i])
        else:
            bits.append((<const int64_t *>s.values)[i])
            values.append(number_of(s.type, bits[i]))
    return (s.type, values, s.has_null), (s.type, tuple(bits), s.has_null)


cdef int number_in(dict numbers, object thing) except -1:
    return numbers.setdefault(thing, len(numbers))


cdef tuple part_of(RowCondition condition, int result):
    """What computes one register, as a program by itself: (what defines it, arguments of Program, its columns)."""
    cdef Program program = condition.program
    cdef Instruction *ins
    cdef int i, a, b, imm
    cdef set needed = {result}
    cdef list chosen = [], types = [], instructions = []
    cdef dict registers = {}, inputs = {}, constants = {}, sets = {}
    for i in range(program.n_instructions - 1, -1, -1):
        ins = &program.instructions[i]
        if ins.dst in needed:
            needed |= operands(ins)
            chosen.append(i)
    for number in reversed(chosen):
        ins = &program.instructions[<int>number]
        a = b = 0
        imm = ins.imm
        if ins.op == OP_LOAD:
            imm = number_in(inputs, ins.imm)
        elif ins.op == OP_CONST:
            imm = number_in(constants, ins.imm)
        elif ins.op == OP_COLUMN_IN:
            a, imm = number_in(inputs, ins.a), number_in(sets, ins.imm)
        else:
            read = operands(ins)
            a = registers[ins.a]
            b = registers[ins.b] if ins.b in read else 0
            if ins.op == OP_IN:
                imm = number_in(sets, ins.imm)
            elif ins.op == OP_IF:
                imm = registers[ins.imm]
        instructions.append((ins.op, ins.sub, number_in(registers, ins.dst), a, b, imm))
        types.append(program.types[ins.dst])
    columns = [condition.columns[<int>i] for i in inputs]
    input_types = [program.input_types[<int>i] for i in inputs]
    constant_pairs = [constant_of(program, i) for i in constants]
    set_pairs = [set_of(program, i) for i in sets]
    key = (tuple(instructions), tuple(types), tuple(columns), tuple([pair[1] for pair in constant_pairs]),
           tuple([pair[1] for pair in set_pairs]))
    return key, (instructions, types, input_types, [pair[0] for pair in constant_pairs],
                 [pair[0] for pair in set_pairs], [registers[result]]), columns


# ------------------------------------------------------------------ the pool

cdef class SharedCondition(RowCondition):
    """One part, with its answer for the batch that is being handed round. Made by ConditionPool alone."""

    def __dealloc__(self):
        free(self.bits)

    cdef const uint64_t *answer(self, const BatchC *batch, uint64_t turn) noexcept nogil:
        cdef int64_t n = batch.n_rows, start, size, words = (batch.n_rows + 63) >> 6
        cdef Fault fault        # is never filled
        cdef uint8_t room[CHUNK]
        if self.turn == turn:
            return self.bits
        if words > self.room or self.bits == NULL:
            self.turn = 0
            free(self.bits)
            self.room = 0
            self.bits = <uint64_t *>malloc((words + 1) * 8)
            if self.bits == NULL:
                return NULL
            self.room = words
        if self.begin(batch.columns, n) != STATUS_OK:
            return NULL
        for start from 0 <= start < n by CHUNK:
            size = n - start if n - start < CHUNK else CHUNK
            pack_bits(self.truth(start, size, room, &fault), size, self.bits + (start >> 6))
        self.turn = turn
        return self.bits


cdef int32_t *pool_rows(PoolC *pool, int64_t n) noexcept nogil:
    if n > pool.room:
        free(pool.rows)
        pool.room = 0
        pool.rows = <int32_t *>malloc(n * sizeof(int32_t))
        if pool.rows != NULL:
            pool.room = n
    return pool.rows


cdef class ConditionPool:
    """The parts that the conditions on one source, run by one worker, are made of; each once.

    >>> len(ConditionPool())
    0
    """

    def __cinit__(self):
        self.known = weakref.WeakValueDictionary()

    def __dealloc__(self):
        free(self.c.rows)

    def __len__(self):
        """How many different parts there are."""
        return len(self.known)

    cdef list share(self, RowCondition condition):
        cdef SharedCondition part
        cdef list parts = []
        cdef int register
        if condition.can_fault:
            return None
        for register in conjuncts(condition.program, condition.program.results[0]):
            key, arguments, columns = part_of(condition, register)
            part = self.known.get(key)
            if part is None:
                part = SharedCondition(Program(*arguments), columns)
                self.known[key] = part
            parts.append(part)
        return parts
