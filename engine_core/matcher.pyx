"""The matcher of a row pattern whose conditions read single rows: batches of events in, batches of matches out.

What        one compiled pattern together with its state; no threads, no I/O, no clock. The same matches in the same
            order come out however the input is cut into batches.
Flow        per batch      check the order of the rows, prepare dictionaries;
            per chunk      conditions -> one letter per row -> rows whose letter can change nothing are dropped
                           -> partition numbers of the rest (before the conditions, if they read PREV) -> attempts step;
            then           finished matches' leaf values -> the result's columns.
All or nothing  what may fail in a batch (order, conditions' faults) is found before any attempt steps. When conditions can
            fault, all chunks are evaluated first. Only a measure's fault comes later: its match is left out and reported,
            the events count as taken, and the other matches come with the next call.
State       open attempts, remembered PREV values, partition keys, the last row's order: `save` writes it, `restore` reads.
Cost        see expression, keymap, lag, attempts; `explain` adds them up for a pattern.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from .attempts cimport attempts_finish, attempts_run, attempts_tidy
from .attempts_state cimport attempts_restore, attempts_save
from .automaton cimport CODE_NO_MEMORY, DENSE_CONDITIONS, dfa_explore, dfa_free, dfa_init, dfa_letter
from .batch cimport BatchC
from .blob cimport Blob, Reader
from .cohorts cimport cohorts_free, cohorts_init
from .column cimport Column, column_time
from .footprint cimport attempts_bytes
from .keymap cimport keymap_free, keymap_ids, keymap_init
from .lag cimport lag_reserve
from .measure cimport (LEAF_CLASSIFIER, LEAF_END, LEAF_FIRST, LEAF_KEY, LEAF_MATCH_NUMBER, LEAF_SETTLED, LEAF_START,
                       LEAF_START_TIME, LEAF_TURN, Leaf)
from .operator cimport STAGE_RESULT, Piece
from .ordering cimport ordering_check
from .parts cimport Attempts, attempts_free, attempts_init, attempts_reserve
from .registers cimport CHUNK
from .row_pattern cimport STAGE_CONDITION, RowPattern
from .status cimport STATUS_NO_MEMORY, STATUS_OK, Fault, fault_set
from .timers cimport attempts_advance
from .words cimport VALUES_MAX, ValueColumn, values_bind

import os

cdef enum:                      # what was under way when a fault came: for its message
    STAGE_LEAF = STAGE_RESULT
    STAGE_MEASURE = STAGE_RESULT + 1

cdef bytes MAGIC = b"tocsin.matcher\x00\x01"

LEAVES = {"start": 0, "end": 1, "match_number": 2, "key": 3, "first_sequence": 4, "last_sequence": 5, "first": 6, "last": 7,
          "count": 8, "count_rows": 9, "sum": 10, "min": 11, "max": 12, "classifier": 13, "start_time": 14, "settled": 15,
          "turn": 16}


cdef ValueColumn *value_columns(list values, int n_columns) except NULL:
    cdef int i
    cdef ValueColumn *out = <ValueColumn *>calloc(len(values) + 1, sizeof(ValueColumn))
    if out == NULL:
        raise MemoryError("no memory for a matcher")
    if len(values) > VALUES_MAX:
        free(out)
        raise ValueError(f"{len(values)} columns are read by measures; at most {VALUES_MAX} can be")
    for i in range(len(values)):
        out[i].column, out[i].type = values[i]
        if not 0 <= out[i].column < n_columns:
            free(out)
            raise ValueError(f"no column {values[i][0]}")
    return out


cdef class PatternMatcher(RowPattern):
    """The operator of one row pattern; made by tocsin.compile.

    Args:
        plan: a dict of the verified parts, all by number:
            input, output: Schema; automaton: Automaton; conditions: Conditions; result: Output;
            keys: partition columns; single: whether the key is one number;
            order: (column, type, descending, nulls_first) each; timed: the first of them is WITHIN's time;
            within: interval in its unit or None; overlapping, labelled, numbered: bool;
            start_values, end_values, row_values: (column, type) each;
            leaves: (LEAVES number, value or key number, type, result type, offset, variables bit mask);
            first: the automaton's first positions; groups_only: step attempts by groups alone (for tests);
            names: variable names as bytes; fingerprint: 16 bytes that tell one plan from another;
            condition_names, computed_names (measures that are more than a leaf): for messages;
            make_conditions, make_result: functions that make fresh ones, for `restore`.

    Raises:
        ValueError: a number is out of range.
    """

    def __cinit__(self, dict plan):
        cdef int i, n_columns
        cdef Attempts *a = &self.attempts
        cdef list leaves = plan["leaves"], names = plan["names"]
        cdef Leaf *leaf
        cdef bytes name
        a.within = plan["within"] is not None
        a.interval = plan["within"] if a.within else 0
        self._bind(plan, a.within)
        self.automaton = plan["automaton"]
        self.result = plan["result"]
        self.names = names
        n_columns = len(self.input.names)
        a.overlapping = plan["overlapping"]
        a.numbered = plan["numbered"]
        if self.conditions.count != self.automaton.nfa.n_conditions:
            raise ValueError("the automaton has another number of conditions")
        # Values that outlive their batch.
        a.n_start_values = len(plan["start_values"])
        a.n_end_values = len(plan["end_values"])
        a.measures.n_row_values = len(plan["row_values"])
        a.start_values = value_columns(plan["start_values"], n_columns)
        a.end_values = value_columns(plan["end_values"], n_columns)
        a.measures.row_values = value_columns(plan["row_values"], n_columns)
        a.measures.labelled = plan["labelled"]
        # Leaves.
        if len(leaves) != self.result.n_leaves or len(leaves) == 0:
            raise ValueError("the output has another number of leaves")
        if len(names) != self.automaton.nfa.n_variables or len(names) > 64:
            raise ValueError("every variable needs a name, and there may be at most 64")
        a.measures.n_leaves = len(leaves)
        a.measures.leaves = <Leaf *>calloc(len(leaves) + 1, sizeof(Leaf))
        a.measures.names = <const uint8_t **>calloc(len(names) + 1, sizeof(void *))
        a.measures.name_sizes = <int64_t *>calloc(len(names) + 1, sizeof(int64_t))
        if a.measures.leaves == NULL or a.measures.names == NULL or a.measures.name_sizes == NULL:
            raise MemoryError("no memory for a matcher")
        for i in range(len(names)):
            name = names[i]
            a.measures.names[i] = <const uint8_t *><const char *>name
            a.measures.name_sizes[i] = len(name)
        for i in range(len(leaves)):
            leaf = &a.measures.leaves[i]
            leaf.kind, leaf.column, leaf.type, leaf.out_type, leaf.offset, leaf.variables = leaves[i]
            if leaf.kind == LEAF_KEY:
                limit = self.n_keys
            elif a.measures.labelled or (leaf.kind != LEAF_START and leaf.kind != LEAF_END):
                limit = a.measures.n_row_values
            else:
                limit = a.n_start_values if leaf.kind == LEAF_START else a.n_end_values
            if leaf.kind < 0 or leaf.kind > LEAF_TURN or leaf.offset < 0 or not -1 <= leaf.column < max(limit, 1):
                raise ValueError(f"leaf {i} reads what is not kept")
            if (leaf.kind == LEAF_START or leaf.kind == LEAF_END) and leaf.column < 0:
                raise ValueError(f"leaf {i} reads no column")
            if leaf.kind == LEAF_START_TIME and not a.within:
                raise ValueError(f"leaf {i} needs WITHIN")
            if LEAF_FIRST <= leaf.kind <= LEAF_CLASSIFIER and not a.measures.labelled:
                raise ValueError(f"leaf {i} needs labelled rows")
            a.ranked = a.ranked or leaf.kind == LEAF_SETTLED
            if leaf.kind == LEAF_MATCH_NUMBER and not a.numbered:
                raise ValueError(f"leaf {i} needs match numbers")
        self.ranked = a.ranked
        self._start()
        self.votes = self.conditions.can_fault and (self.conditions.lagged or not a.dfa.dense)

    cdef int _start(self) except -1:
        """The parts of the state that a fresh matcher and one to be restored begin with."""
        cdef Attempts *a = &self.attempts
        cdef uint64_t seed
        cdef uint64_t read_variables = 0
        cdef int i
        cdef bint by_cohorts
        by_cohorts = (self.automaton.nfa.n_conditions <= DENSE_CONDITIONS and not a.overlapping
                      and -1 not in self.plan["first"] and not self.plan.get("groups_only"))
        seed = int.from_bytes(os.urandom(8), "little")
        self.keymap = &a.keys
        if keymap_init(&a.keys, self.n_keys, self.plan["single"], seed) != STATUS_OK or \
                dfa_init(&a.dfa, &self.automaton.nfa, a.measures.labelled) != STATUS_OK or \
                cohorts_init(&a.cohorts, by_cohorts, a.within, a.dfa.stride) != STATUS_OK or \
                attempts_init(a) != STATUS_OK:
            raise MemoryError("no memory for a matcher")
        a.out = self.result.leaves
        if a.dfa.dense:
            self.inert = <uint8_t *>calloc(a.dfa.stride, 1)
            if self.inert == NULL:
                raise MemoryError("no memory for a matcher")
            for i in range(a.measures.n_leaves):
                if LEAF_FIRST <= a.measures.leaves[i].kind <= LEAF_CLASSIFIER:
                    read_variables |= a.measures.leaves[i].variables
            if dfa_explore(&a.dfa, read_variables, self.inert) != STATUS_OK:
                raise MemoryError("no memory for a matcher")
            for i in range(a.dfa.stride):
                self.skips = self.skips or self.inert[i]
        self.ready = True
        return 0

    def __dealloc__(self):
        cdef Attempts *a = &self.attempts
        if self.ready:
            attempts_free(a)
        dfa_free(&a.dfa)
        cohorts_free(&a.cohorts)
        keymap_free(&a.keys)
        free(a.start_values)
        free(a.end_values)
        free(a.measures.row_values)
        free(a.measures.leaves)
        free(a.measures.names)
        free(a.measures.name_sizes)
        free(a.measures.states)
        free(a.measures.labels)
        free(self.inert)
        free(self.narrow)
        free(self.wide)
        free(self.rows)
        free(self.letters)
        free(self.partition_of)
        free(self.chosen)
        free(self.kept)

    # ------------------------------------------------------------ kernel

    cdef int64_t _open(self) noexcept nogil:
        return self.attempts.n_open

    cdef int _expire(self) noexcept nogil:
        """Expired attempts leave when their partition is next looked at: all are looked at now."""
        cdef Attempts *a = &self.attempts
        if not a.within:
            return STATUS_OK
        if self.ordering.has_watermark and self.ordering.watermark > a.now:
            a.now = self.ordering.watermark
        return attempts_tidy(a, 64 * <int64_t>a.n_parts)

    cdef int _reserve(self, int64_t rows) noexcept nogil:
        if self.rows == NULL:
            self.rows = <int32_t *>malloc(CHUNK * sizeof(int32_t))
            self.kept = <uint8_t *>malloc(CHUNK)
            self.letters = <uint32_t *>malloc(CHUNK * sizeof(uint32_t))
            self.chosen = <uint32_t *>malloc(CHUNK * sizeof(uint32_t))
            if self.rows == NULL or self.kept == NULL or self.letters == NULL or self.chosen == NULL:
                return STATUS_NO_MEMORY
        if rows <= self.buffer_rows:
            return STATUS_OK
        free(self.narrow)
        free(self.wide)
        free(self.partition_of)
        self.buffer_rows = 0
        self.narrow = <uint8_t *>malloc(rows)
        self.wide = <uint64_t *>malloc((CHUNK if self.attempts.dfa.dense else rows) * 8)
        self.partition_of = <uint32_t *>malloc(rows * sizeof(uint32_t))
        if self.narrow == NULL or self.wide == NULL or self.partition_of == NULL:
            return STATUS_NO_MEMORY
        self.buffer_rows = rows
        return STATUS_OK

    cdef int _evaluate(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                       Fault *fault) noexcept nogil:
        """Masks (and, for PREV, partition numbers) of n rows of the piece into the buffers from `at` on."""
        cdef Attempts *a = &self.attempts
        cdef const int32_t *rows = piece.rows + begin if piece.rows != NULL else NULL
        cdef int64_t start = piece.start + begin
        cdef int status
        if self.conditions.lagged:
            status = keymap_ids(&a.keys, self.keys, rows, start, n, self.partition_of + at)
            if status == STATUS_OK:
                status = lag_reserve(&self.conditions.lags, a.keys.count)
            if status != STATUS_OK:
                return status
        if a.dfa.dense:
            return self.conditions.chunk(batch.columns, rows, self.partition_of + at, start, n, self.narrow + at, NULL,
                                         fault)
        return self.conditions.chunk(batch.columns, rows, self.partition_of + at, start, n, NULL, self.wide + at, fault)

    cdef int _step(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                   int64_t base) noexcept nogil:
        """The attempts take n rows of the piece, whose masks stand in the buffers from `at` on, or in the piece."""
        cdef Attempts *a = &self.attempts
        cdef int64_t i, k = 0, start = piece.start + begin
        cdef const int32_t *rows = self.rows
        cdef const int32_t *given = piece.rows + begin if piece.rows != NULL else NULL
        cdef const uint8_t *letters = self.kept
        cdef const uint8_t *narrow = self.narrow + at
        cdef const uint8_t *inert = self.inert
        cdef const uint32_t *partitions = self.partition_of + at
        cdef const Column *time = NULL
        cdef const int32_t *looked_up
        # PERF: local, because a store of bytes makes the compiler read every field of self again.
        cdef int32_t *row_out = self.rows
        cdef uint8_t *letter_out = self.kept
        cdef uint32_t *chosen_out = self.chosen
        cdef int status
        if piece.letters != NULL:           # only rows that matter came here
            rows = given
            letters = piece.letters + begin
            k = n
        elif not a.dfa.dense:
            letters = NULL
            for i in range(n):
                self.rows[i] = <int32_t>(start + i) if given == NULL else given[i]
                self.letters[i] = dfa_letter(&a.dfa, self.wide[at + i])
                if self.letters[i] == CODE_NO_MEMORY:
                    return STATUS_NO_MEMORY
            k = n
        elif given == NULL:
            # PERF: no branch: every row is written, and the next one overwrites it if it changes nothing.
            for i in range(n):
                row_out[k] = <int32_t>(start + i)
                letter_out[k] = narrow[i]
                chosen_out[k] = <uint32_t>i
                k += inert[narrow[i]] ^ 1
        else:
            for i in range(n):
                row_out[k] = given[i]
                letter_out[k] = narrow[i]
                chosen_out[k] = <uint32_t>i
                k += inert[narrow[i]] ^ 1
        if not self.conditions.lagged:
            looked_up = rows
            if k == n and given == NULL:
                looked_up = NULL            # all of them
            status = keymap_ids(&a.keys, self.keys, looked_up, start, k, self.chosen)
            if status != STATUS_OK:
                return status
            partitions = self.chosen
        elif k < n:
            for i in range(k):
                self.chosen[i] = partitions[self.chosen[i]]
            partitions = self.chosen
        status = attempts_reserve(a, a.keys.count)
        if status != STATUS_OK:
            return status
        if a.within:
            time = a.times
        status = attempts_run(a, batch.columns, rows, letters, self.letters, partitions, time, base, k)
        if status == STATUS_OK and a.within and piece.rows == NULL:
            # The rows that were dropped moved the time all the same.
            a.now = column_time(time, start + n - 1)
            status = attempts_advance(a, a.now)
        return status

    cdef int _give(self, int status, BatchC **out, Fault *fault) noexcept nogil:
        """The end of every call: what was found, or what went wrong."""
        cdef Attempts *a = &self.attempts
        self.tell(a.n_open, a.keys.count, -1, attempts_bytes(a, self.conditions))
        if status == STATUS_OK and a.fault.code != STATUS_OK:
            fault[0] = a.fault
            fault.stage = STAGE_LEAF
            memset(&a.fault, 0, sizeof(Fault))
            return fault.code
        if status == STATUS_OK:
            status = self.result.take(out, fault)
            if status == STATUS_OK:
                return STATUS_OK
            if fault.code == status:
                fault.stage = STAGE_MEASURE
                fault.row = -1      # it was the match's number among those that waited
        if status == STATUS_NO_MEMORY:
            self.broken = True
        if fault.code != status:
            fault_set(fault, status, -1, -1, 0, 0, NULL)
        return status

    cdef int _enter(self, BatchC *batch, int64_t base) noexcept nogil:
        cdef Attempts *a = &self.attempts
        values_bind(a.start_values, a.n_start_values, batch.columns)
        values_bind(a.end_values, a.n_end_values, batch.columns)
        values_bind(a.measures.row_values, a.measures.n_row_values, batch.columns)
        a.base_sequence = base
        a.times = &batch.columns[self.ordering.columns[0].column] if a.within else NULL
        a.n_rows = batch.n_rows if a.within else 0
        return STATUS_OK

    cdef int _leave(self, BatchC *batch, int64_t base, bint shared) noexcept nogil:
        cdef Attempts *a = &self.attempts
        cdef int status = STATUS_OK
        if a.within and shared:
            a.now = column_time(a.times, batch.n_rows - 1)
            status = attempts_advance(a, a.now)
        if status == STATUS_OK:
            status = attempts_tidy(a, batch.n_rows)
        a.times = NULL
        a.n_rows = 0
        a.base_sequence = base + batch.n_rows
        return status

    cdef int _pass_time(self, int64_t time) noexcept nogil:
        return attempts_advance(&self.attempts, time) if self.attempts.within else STATUS_OK

    cdef int _end(self) noexcept nogil:
        return attempts_finish(&self.attempts)

    cdef int prepare(self, BatchC *batch, int64_t start, int64_t n, int shares, int32_t *rows, uint8_t *letters,
                     int32_t *ends, bint *lettered, Fault *fault) noexcept nogil:
        cdef int64_t i, k = 0, at, size
        cdef int32_t *row_out           # PERF: as in _step
        cdef uint8_t *letter_out
        cdef const uint8_t *narrow
        cdef const uint8_t *inert = self.inert
        cdef int status = ordering_check(&self.ordering, batch.columns, start, n, False, fault)
        if status != STATUS_OK:
            return status
        status = self._reserve(CHUNK)
        if status == STATUS_OK:
            status = self._reserve_split(n)
        self._bind_keys(batch)
        lettered[0] = self.attempts.dfa.dense and not self.conditions.lagged
        if status == STATUS_OK and lettered[0]:
            status = self.conditions.begin(batch.columns, n, False)
            for at from start <= at < start + n by CHUNK:
                if status != STATUS_OK:
                    break
                size = start + n - at if start + n - at < CHUNK else CHUNK
                status = self.conditions.chunk(batch.columns, NULL, NULL, at, size, self.narrow, NULL, fault)
                if status != STATUS_OK:
                    if fault.code != status:
                        fault_set(fault, status, -1, -1, 0, 0, NULL)
                    fault.stage = STAGE_CONDITION
                    return status
                row_out, letter_out, narrow = self.split_rows, self.split_letters, self.narrow
                for i in range(size):
                    row_out[k] = <int32_t>(at + i)
                    letter_out[k] = narrow[i]
                    k += inert[narrow[i]] ^ 1
        elif status == STATUS_OK:
            for i in range(n):
                self.split_rows[i] = <int32_t>(start + i)
            k = n
        if status == STATUS_OK:
            status = self._split(start, n, k, lettered[0], shares, rows, letters, ends)
        if status != STATUS_OK:
            return fault_set(fault, status, -1, -1, 0, 0, NULL)
        return STATUS_OK

    cdef void layout(self, int column, int32_t *kind, int32_t *width) noexcept nogil:
        self.result.layout(column, kind, width)

    # ------------------------------------------------------------ binding

    cdef str context(self, const Fault *fault):
        if fault.stage == STAGE_LEAF:
            left_out = f"{fault.more + 1} matches are left out; the first" if fault.more else "the match is left out"
            return f"MEASURES ({left_out})"
        if fault.stage == STAGE_MEASURE and fault.item >= 0:
            return f"MEASURES {self.plan['computed_names'][fault.item]} (its match is left out)"
        return RowPattern.context(self, fault)

    @property
    def states(self):
        """How many states of the automaton have been built so far."""
        return self.attempts.dfa.n_states

    cdef bytes _magic(self):
        return MAGIC

    cdef bint _waits(self):
        return self.result.waiting() or self.attempts.fault.code != STATUS_OK

    cdef int _before_save(self) noexcept nogil:
        # A refused batch may have brought partitions that no attempt has stepped in yet.
        return attempts_reserve(&self.attempts, self.attempts.keys.count)

    cdef void _write(self, Blob *b) noexcept nogil:
        attempts_save(&self.attempts, b)

    cdef RowPattern _fresh(self):
        return PatternMatcher(dict(self.plan, conditions=self.plan["make_conditions"](),
                                   result=self.plan["make_result"]()))

    cdef int _read(self, Reader *r) noexcept nogil:
        cdef int status = attempts_reserve(&self.attempts, self.attempts.keys.count)
        if status == STATUS_OK:
            status = attempts_restore(&self.attempts, r, self.attempts.keys.count, self.next_sequence)
        return status

    cdef int _swap(self, RowPattern other) except -1:
        """`other` then frees what was ours."""
        cdef PatternMatcher fresh = other
        self.attempts, fresh.attempts = fresh.attempts, self.attempts
        self.result, fresh.result = fresh.result, self.result
        # The automaton, and what of the plan the state points into, is the same object for both.
        self.tell(self.attempts.n_open, self.attempts.keys.count, -1, attempts_bytes(&self.attempts, self.conditions))
        return 0
