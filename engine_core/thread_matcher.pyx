"""The matcher of row patterns whose definitions read the match so far, and of everything else the clause can ask for.

What        one compiled pattern together with its state, like PatternMatcher (matcher.pyx), which takes the patterns whose
            conditions read single rows; this one takes every pattern, at the cost of stepping each thread.
Flow        per batch      check the order of the rows, prepare the keys;
            per chunk      conditions (the parts of definitions that read single rows) -> one mask per row -> partition
                           numbers -> rows that can begin or continue a match go into the history;
            per row        windows close; the row is linked into its partition; attempts step (tracks, threads);
            then           finished matches' rows -> the result's columns (results); unneeded rows leave the history.
All or nothing  the order and the conditions are checked before any attempt steps. A fault that shows only later (a
            definition over the match so far, a measure, a skip to a row that is not there) leaves out that match and is
            reported; the
            events count as taken, and the other matches come with the next call.
State       history, tracks, attempts, remembered PREV values, partition keys, the last row's order.
Cost        see tracks, threads, captures; `explain` adds them up for a pattern.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from .batch cimport BatchC
from .blob cimport Blob, Reader, blob_i64, blob_put, reader_count, reader_i64
from .builder cimport out_init
from .column cimport Column, column_time
from .history cimport history_append, history_init
from .keymap cimport keymap_ids, keymap_init, keymap_prepare, keymap_restore, keymap_save
from .lag cimport lag_begin, lag_commit, lag_reserve, lag_restore, lag_save, lag_undo
from .operator cimport SPREAD_KEYS, SPREAD_WHOLE, Operator, Piece
from .ordering cimport (Ordering, ordering_bind, ordering_check, ordering_commit, ordering_free, ordering_init,
                        ordering_restore, ordering_save)
from .owner cimport owners_find, owners_free, owners_split
from .registers cimport CHUNK
from .parking cimport parking_free, parking_init
from .seek cimport EXITS_MAX, SEEK_EQUAL, SEEK_GREATER_EQUAL, SEEK_LESS, SEEK_MASK, Chain, Exit, Seeks, Tree
from .status cimport (STATUS_CAPACITY, STATUS_CLOSED, STATUS_NO_MEMORY, STATUS_NULL_TIME, STATUS_OK, STATUS_STATE,
                      STATUS_UNSORTED, Fault, fault_set)
from .threads cimport (FOLLOW_MATCH, FOLLOW_MATCH_AT_END, STAGE_DEFINITION, STAGE_SKIP, STAGE_STEPS, Threads, threads_free,
                       threads_init)
from .threads_state cimport threads_collect, threads_restore, threads_save, threads_wasteful
from .tracks cimport track_ignores, track_row, tracks_advance, tracks_finish, tracks_reserve

import os
import zlib

from .status import StateError

cdef enum:
    STAGE_CONDITION = 1

cdef bytes MAGIC = b"tocsin.threads\x00\x01"

SEEKS = {"mask": 0, "eq": 1, "lt": 2, "le": 3, "gt": 4, "ge": 5}
SKIPS = {"past_last": 0, "next": 1, "first": 2, "last": 3}


cdef int32_t *numbers(list values) except NULL:
    cdef int i
    cdef int32_t *out = <int32_t *>malloc((len(values) + 1) * sizeof(int32_t))
    if out == NULL:
        raise MemoryError("no memory for a matcher")
    for i in range(len(values)):
        out[i] = values[i]
    return out


cdef class ThreadMatcher(Operator):
    """The operator of one row pattern; made by tocsin.compile.

    Args:
        plan: a dict of the verified parts, all by number:
            input, output: Schema; conditions: Conditions; definitions: Definitions; results: Results;
            positions: variable of each; condition_of, rest_of: per variable, -1 for none;
            first, first_at_start, follow: positions in order of preference, -1 a match, -2 a match if the partition ends;
            recorded: per position, whether its rows go into the trace; live: per position, a mask of captures;
            history: (input column, Kind, width) of each kept column;
            exits: per waiting position (SEEKS number, condition, chain or tree, key, SEEKS number of a second comparison or
            -1, its column, type and key) each; chains, trees: (column of the
            history, type) each, a tree's column -1 for the conditions;
            keys: partition columns; single: whether the key is one number;
            order: (column, type, descending, nulls_first) each; timed: the first of them is WITHIN's time;
            within: interval in its unit or None; skip: SKIPS number; skip_variables: mask;
            eager, numbered, unmatched, ranked (some leaf asks for RESULT_SETTLED or RESULT_TURN): bool;
            max_steps: of one attempt, 0 for no limit;
            condition_names, rest_names, skip_name: for messages; fingerprint: 16 bytes that tell one plan from another;
            make_conditions, make_results: functions that make fresh ones, for `restore`.

    Raises:
        ValueError: a number is out of range.
    """

    def __cinit__(self, dict plan):
        cdef int i, n_columns
        cdef Threads *t = &self.threads
        cdef list order = plan["order"], keys = plan["keys"]
        self.plan = plan
        self.input = plan["input"]
        self.output = plan["output"]
        self.conditions = plan["conditions"]
        self.definitions = plan["definitions"]
        self.results = plan["results"]
        n_columns = len(self.input.names)
        for i in range(self.conditions.program.n_inputs):
            if self.conditions.sources[i].lag < 0 and self.conditions.sources[i].column >= n_columns:
                raise ValueError("a condition reads a column that is not there")
        for i in range(self.conditions.lags.n_columns):
            if not 0 <= self.conditions.lags.columns[i].column < n_columns:
                raise ValueError("a lag reads a column that is not there")
        t.within = plan["within"] is not None
        t.interval = plan["within"] if t.within else 0
        if t.within and (t.interval < 1 or not plan["timed"]):
            raise ValueError("WITHIN needs a positive interval and a time column")
        t.skip = plan["skip"]
        t.skip_variables = plan["skip_variables"]
        t.eager = plan["eager"]
        t.numbered = plan["numbered"]
        t.unmatched = plan["unmatched"]
        t.max_steps = plan["max_steps"]
        if t.eager and (t.skip != SKIPS["next"] or t.unmatched):
            raise ValueError("only SKIP TO NEXT ROW without unmatched rows can be eager")
        t.n_words = self.definitions.n_words
        t.back = max(self.definitions.back, self.results.back)
        t.ahead = max(self.definitions.ahead, self.results.ahead)
        self._program(plan)
        self.n_keys = len(keys)
        self._seeks(plan)
        self.key_columns = numbers(keys)
        self.keys = <const Column **>calloc(self.n_keys + 1, sizeof(void *))
        if self.keys == NULL:
            raise MemoryError("no memory for a matcher")
        for i in range(self.n_keys):
            if not 0 <= self.key_columns[i] < n_columns:
                raise ValueError(f"no partition column {keys[i]}")
        ordering_bind(&self.ordering, order, plan["timed"], t.within, n_columns)
        self.spread = SPREAD_KEYS if self.n_keys else SPREAD_WHOLE
        self.votes = self.conditions.can_fault
        t.ranked = plan["ranked"]
        self.ranked = t.ranked
        self._state()

    cdef int _program(self, dict plan) except -1:
        """The automaton's lists, and what is known of each beforehand."""
        cdef Threads *t = &self.threads
        cdef list lists = [*plan["follow"], plan["first"], plan["first_at_start"]]
        cdef list positions = plan["positions"], condition_of = plan["condition_of"], rest_of = plan["rest_of"]
        cdef int i, k, v, n_variables = len(condition_of)
        cdef int64_t at = 0
        t.n_positions = len(positions)
        if len(lists) != t.n_positions + 2 or len(plan["recorded"]) != t.n_positions or len(plan["live"]) != t.n_positions \
                or len(rest_of) != n_variables or n_variables > 64:
            raise ValueError("every position needs a list, every variable a condition and a rest, or none")
        t.variable = numbers(positions)
        t.condition = <int32_t *>malloc((t.n_positions + 1) * sizeof(int32_t))
        t.rest = <int32_t *>malloc((t.n_positions + 1) * sizeof(int32_t))
        t.follow_begin = <int64_t *>malloc((t.n_positions + 3) * sizeof(int64_t))
        t.follow = <int32_t *>malloc((sum([len(x) for x in lists]) + 1) * sizeof(int32_t))
        t.accepts = <uint8_t *>calloc(t.n_positions + 2, 1)
        t.goes_on = <uint8_t *>calloc(t.n_positions + 2, 1)
        t.at_end = <uint8_t *>calloc(t.n_positions + 2, 1)
        t.recorded = <uint8_t *>calloc(t.n_positions + 1, 1)
        t.live = <uint64_t *>calloc(t.n_positions + 1, sizeof(uint64_t))
        if (t.condition == NULL or t.rest == NULL or t.follow_begin == NULL or t.follow == NULL or t.accepts == NULL
                or t.goes_on == NULL or t.at_end == NULL or t.recorded == NULL or t.live == NULL):
            raise MemoryError("no memory for a pattern's automaton")
        for i in range(t.n_positions):
            v = t.variable[i]
            if not 0 <= v < n_variables:
                raise ValueError(f"position {i} has no variable {v}")
            t.condition[i] = condition_of[v]
            t.rest[i] = rest_of[v]
            if not -1 <= t.condition[i] < self.conditions.count or not -1 <= t.rest[i] < self.definitions.n_rests:
                raise ValueError(f"variable {v} has no condition {condition_of[v]} or no rest {rest_of[v]}")
            t.recorded[i] = plan["recorded"][i]
            t.live[i] = plan["live"][i]
            if self.definitions.traced and not t.recorded[i]:
                raise ValueError("where traces are walked, all rows must be recorded")
        for i, targets in enumerate(lists):
            t.follow_begin[i] = at
            if len(set(targets)) != len(targets):
                raise ValueError(f"the list behind position {i} names a position twice")
            for k, target in enumerate(targets):
                if target == FOLLOW_MATCH:
                    if k != len(targets) - 1:
                        raise ValueError("what stands behind a match can never be chosen")
                    t.accepts[i] = 1
                elif target == FOLLOW_MATCH_AT_END:
                    if i < t.n_positions:       # before the first row the partition has not ended
                        t.at_end[i] = t.goes_on[i] = 1
                elif 0 <= target < t.n_positions:
                    t.goes_on[i] = 1
                    if i >= t.n_positions and t.condition[target] < 0:
                        t.start_always[i - t.n_positions] = True
                    elif i >= t.n_positions:
                        t.start_mask[i - t.n_positions] |= <uint64_t>1 << t.condition[target]
                else:
                    raise ValueError(f"no position {target} can follow position {i}")
                t.follow[at] = target
                at += 1
            if i >= t.n_positions and t.accepts[i]:
                t.start_always[i - t.n_positions] = True
        t.follow_begin[t.n_positions + 2] = at
        return 0

    cdef int _seeks(self, dict plan) except -1:
        """Where threads wait, and the indexes that tell them for what."""
        cdef Threads *t = &self.threads
        cdef Seeks *s = &t.seeks
        cdef list chains = plan["chains"], trees = plan["trees"]
        cdef Exit *e
        cdef int i, k, n = len(plan["history"])
        s.n_exits = <uint8_t *>calloc(t.n_positions + 3, 1)
        s.exits = <Exit *>calloc((t.n_positions + 3) * EXITS_MAX, sizeof(Exit))
        s.chains = <Chain *>calloc(len(chains) + 1, sizeof(Chain))
        s.trees = <Tree *>calloc(len(trees) + 1, sizeof(Tree))
        if s.n_exits == NULL or s.exits == NULL or s.chains == NULL or s.trees == NULL:
            raise MemoryError("no memory for a pattern's indexes")
        s.n_chains = len(chains)
        s.n_trees = len(trees)
        if trees and self.n_keys:
            raise ValueError("a tree needs a single partition")
        for i in range(len(chains)):
            s.chains[i].column, s.chains[i].type = chains[i]
            if not 0 <= s.chains[i].column < n:
                raise ValueError(f"no column {chains[i][0]}")
        for i in range(len(trees)):
            s.trees[i].column, s.trees[i].type = trees[i]
            if not -1 <= s.trees[i].column < n:
                raise ValueError(f"no column {trees[i][0]}")
        for i, exits in plan["exits"].items():
            if not 0 <= i < t.n_positions or len(exits) > EXITS_MAX:
                raise ValueError(f"position {i} has no {len(exits)} exits")
            s.n_exits[i] = len(exits)
            for k in range(len(exits)):
                e = &s.exits[i * EXITS_MAX + k]
                e.kind, e.condition, e.index, e.key, e.also, e.also_column, e.also_type, e.also_key = exits[k]
                if e.also >= 0 and (e.kind != SEEK_EQUAL or not SEEK_LESS <= e.also <= SEEK_GREATER_EQUAL
                                    or not 0 <= e.also_column < n or not 0 <= e.also_key < self.definitions.n_keys):
                    raise ValueError(f"exit {k} of position {i} compares what is not there")
                if e.also < 0 and e.also_key >= 0:
                    raise ValueError(f"exit {k} of position {i} compares nothing")
                if not SEEK_MASK <= e.kind <= SEEK_GREATER_EQUAL or not -1 <= e.condition < self.conditions.count or \
                        not 0 <= e.index < (s.n_chains if e.kind == SEEK_EQUAL else s.n_trees) or \
                        not -1 <= e.key < self.definitions.n_keys or (e.key < 0) != (e.kind == SEEK_MASK):
                    raise ValueError(f"exit {k} of position {i} is none")
                if e.kind != SEEK_EQUAL and (s.trees[e.index].column < 0) != (e.kind == SEEK_MASK):
                    raise ValueError(f"exit {k} of position {i} searches another tree")
                if e.kind == SEEK_MASK and e.condition < 0:
                    raise ValueError(f"exit {k} of position {i} has no condition")
        t.indexed = t.eager and len(plan["exits"]) > 0
        if parking_init(t) != STATUS_OK:
            raise MemoryError("no memory for a pattern's indexes")
        return 0

    cdef int _state(self) except -1:
        """The parts of the state that a fresh matcher and one to be restored begin with."""
        cdef Threads *t = &self.threads
        cdef uint64_t seed = int.from_bytes(os.urandom(8), "little")
        cdef list columns = self.plan["history"]
        cdef int i
        self.ready = True
        if (threads_init(t) != STATUS_OK or history_init(&t.history, len(columns)) != STATUS_OK
                or keymap_init(&t.keys, self.n_keys, self.plan["single"], seed) != STATUS_OK
                or ordering_init(&self.ordering) != STATUS_OK):
            raise MemoryError("no memory for a matcher")
        for i in range(len(columns)):
            t.history.sources[i] = columns[i][0]
            if not 0 <= t.history.sources[i] < len(self.input.names):
                raise ValueError(f"no column {columns[i][0]}")
            out_init(&t.history.columns[i], columns[i][1], columns[i][2])
        return 0

    def __dealloc__(self):
        cdef Threads *t = &self.threads
        parking_free(t)
        if self.ready:
            threads_free(t)
        ordering_free(&self.ordering)
        free(t.variable)
        free(t.condition)
        free(t.rest)
        free(t.follow_begin)
        free(t.follow)
        free(t.accepts)
        free(t.goes_on)
        free(t.at_end)
        free(t.recorded)
        free(t.live)
        free(self.key_columns)
        free(self.keys)
        free(self.masks)
        free(self.partitions)
        free(self.rows)
        free(self.chosen)
        free(self.split_rows)
        free(self.split_owners)
        owners_free(&self.owners)

    # ------------------------------------------------------------ kernel

    cdef int _reserve(self, int64_t rows) noexcept nogil:
        if rows <= self.buffer_rows:
            return STATUS_OK
        free(self.masks)
        free(self.partitions)
        free(self.rows)
        free(self.chosen)
        self.buffer_rows = 0
        self.masks = <uint64_t *>malloc(rows * sizeof(uint64_t))
        self.partitions = <uint32_t *>malloc(rows * sizeof(uint32_t))
        self.rows = <int32_t *>malloc(CHUNK * sizeof(int32_t))
        self.chosen = <uint32_t *>malloc(CHUNK * sizeof(uint32_t))
        if self.masks == NULL or self.partitions == NULL or self.rows == NULL or self.chosen == NULL:
            return STATUS_NO_MEMORY
        self.buffer_rows = rows
        return STATUS_OK

    cdef int _reserve_split(self, int64_t rows) noexcept nogil:
        if rows <= self.split_room:
            return STATUS_OK
        free(self.split_rows)
        free(self.split_owners)
        self.split_room = 0
        self.split_rows = <int32_t *>malloc(rows * sizeof(int32_t))
        self.split_owners = <uint8_t *>malloc(rows)
        if self.split_rows == NULL or self.split_owners == NULL:
            return STATUS_NO_MEMORY
        self.split_room = rows
        return STATUS_OK

    cdef int _evaluate(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                       Fault *fault) noexcept nogil:
        """Masks and partition numbers of n rows of the piece into the buffers from `at` on."""
        cdef const int32_t *rows = piece.rows + begin if piece.rows != NULL else NULL
        cdef int64_t start = piece.start + begin
        cdef int status = keymap_ids(&self.threads.keys, self.keys, rows, start, n, self.partitions + at)
        if status == STATUS_OK and self.conditions.lagged:
            status = lag_reserve(&self.conditions.lags, self.threads.keys.count)
        if status != STATUS_OK:
            return status
        return self.conditions.chunk(batch.columns, rows, self.partitions + at, start, n, NULL, self.masks + at, fault)

    cdef int _step(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                   int64_t base) noexcept nogil:
        """The attempts take n rows of the piece, whose masks stand in the buffers from `at` on."""
        cdef Threads *t = &self.threads
        cdef int64_t i, k = 0, start = piece.start + begin
        cdef int32_t row = t.history.n_rows
        cdef int status = tracks_reserve(t, t.keys.count)
        if status != STATUS_OK:
            return status
        for i in range(n):
            if not track_ignores(t, self.partitions[at + i], self.masks[at + i]):
                self.rows[k] = <int32_t>(start + i) if piece.rows == NULL else piece.rows[begin + i]
                self.chosen[k] = <uint32_t>(at + i)
                k += 1
        status = history_append(&t.history, batch.columns, self.rows, k, base)
        if status != STATUS_OK:
            return status
        for i in range(k):
            t.history.mask[row + i] = self.masks[self.chosen[i]]
            if t.within:
                t.history.time[row + i] = column_time(t.times, self.rows[i])
        for i in range(k):
            if t.within:
                status = tracks_advance(t, t.history.time[row + i], self.definitions, self.results)
                if status != STATUS_OK:
                    return status
            status = track_row(t, self.partitions[self.chosen[i]], row + <int32_t>i, self.definitions, self.results)
            if status != STATUS_OK:
                return status
        if t.within and piece.rows == NULL:
            status = tracks_advance(t, column_time(t.times, start + n - 1), self.definitions, self.results)
        return status

    cdef int _give(self, int status, BatchC **out, Fault *fault) noexcept nogil:
        """The end of every call: what was found, or what went wrong."""
        cdef Threads *t = &self.threads
        if status == STATUS_OK and t.fault.code != STATUS_OK:
            fault[0] = t.fault
            memset(&t.fault, 0, sizeof(Fault))
            return fault.code
        if status == STATUS_OK:
            status = self.results.take(out, fault)
            if status == STATUS_OK:
                return STATUS_OK
        if status == STATUS_NO_MEMORY:
            self.broken = True
        if fault.code != status:
            fault_set(fault, status, -1, -1, 0, 0, NULL)
        return status

    cdef int _begin(self, BatchC *batch, int64_t n_rows, bint picked, Fault *fault) noexcept nogil:
        """Before the first condition of a batch; nothing has changed if it fails."""
        cdef Threads *t = &self.threads
        cdef int i
        cdef int status = self._reserve(n_rows if self.conditions.can_fault and n_rows > CHUNK else CHUNK)
        for i in range(self.n_keys):
            self.keys[i] = &batch.columns[self.key_columns[i]]
        if status == STATUS_OK:
            status = keymap_prepare(&t.keys, self.keys, n_rows)
        if status == STATUS_OK:
            status = lag_begin(&self.conditions.lags, n_rows, t.keys.count)
        if status == STATUS_OK:
            status = self.conditions.begin(batch.columns, n_rows, picked)
        if status != STATUS_OK:
            return fault_set(fault, status, -1, -1, 0, 0, NULL)
        return STATUS_OK

    cdef int judge(self, BatchC *batch, const Piece *pieces, int64_t n_pieces, Fault *fault) noexcept nogil:
        """All conditions of all rows, into the buffers."""
        cdef int64_t i, begin, size, n = 0, at = 0
        cdef int status
        if self.finished or self.broken:
            return STATUS_OK            # `take` will say so
        for i in range(n_pieces):
            n += pieces[i].n
        status = self._begin(batch, n, n_pieces and pieces[0].rows != NULL, fault)
        for i in range(n_pieces):
            for begin from 0 <= begin < pieces[i].n by CHUNK:
                if status != STATUS_OK:
                    break
                size = pieces[i].n - begin if pieces[i].n - begin < CHUNK else CHUNK
                status = self._evaluate(batch, &pieces[i], begin, size, at, fault)
                at += size
                if status != STATUS_OK:
                    if fault.code != status:
                        fault_set(fault, status, -1, -1, 0, 0, NULL)
                    fault.stage = STAGE_CONDITION
        self.judged = True
        return status

    cdef void retract(self) noexcept nogil:
        if self.judged:
            lag_undo(&self.conditions.lags)
        self.judged = False

    cdef int _run(self, BatchC *batch, int64_t base_sequence, const Piece *pieces, int64_t n_pieces,
                  Fault *fault) noexcept nogil:
        """The step over all pieces, and what follows a batch. The batch was found to be in order."""
        cdef Threads *t = &self.threads
        cdef int64_t n = batch.n_rows, i, begin, size, at = 0
        cdef int status = STATUS_OK
        cdef bint shared = n_pieces == 0 or pieces[0].rows != NULL
        if not self.judged:
            status = self._begin(batch, n, shared, fault)
            if status != STATUS_OK:
                return status
        t.base_sequence = base_sequence
        t.times = &batch.columns[self.ordering.columns[0].column] if t.within else NULL
        t.n_batch = n if t.within else 0
        for i in range(n_pieces):
            for begin from 0 <= begin < pieces[i].n by CHUNK:
                size = pieces[i].n - begin if pieces[i].n - begin < CHUNK else CHUNK
                if not self.judged:
                    status = self._evaluate(batch, &pieces[i], begin, size, 0, fault)
                if status == STATUS_OK:
                    status = self._step(batch, &pieces[i], begin, size, at if self.judged else 0, base_sequence)
                if status == STATUS_OK and threads_wasteful(t):
                    status = threads_collect(t, self.definitions)
                at += size
                if status != STATUS_OK:
                    self.broken = True
                    return status
        self.judged = False
        if t.within and shared:
            status = tracks_advance(t, column_time(t.times, n - 1), self.definitions, self.results)
        if status == STATUS_OK:
            status = lag_commit(&self.conditions.lags)
        if status == STATUS_OK:
            status = ordering_commit(&self.ordering, batch.columns, n)
        t.times = NULL
        t.n_batch = 0
        t.base_sequence = base_sequence + n
        self.next_sequence = base_sequence + n
        return status

    cdef int process(self, BatchC *batch, int64_t base_sequence, BatchC **out, Fault *fault) noexcept nogil:
        cdef int64_t n = batch.n_rows
        cdef Piece whole
        cdef int status
        out[0] = NULL
        if self.finished or self.broken:
            return fault_set(fault, STATUS_CLOSED, -1, -1, 0, 0,
                             "the matcher has seen the end of its input and" if self.finished else
                             "the matcher ran out of memory and")
        if n == 0:
            return self._give(STATUS_OK, out, fault)
        if n > 0x7fffffff:
            return fault_set(fault, STATUS_CAPACITY, -1, -1, n, 0x7fffffff, "the rows of a batch")
        status = ordering_check(&self.ordering, batch.columns, 0, n, True, fault)
        if status != STATUS_OK:
            return status
        whole.rows = NULL
        whole.letters = NULL
        whole.start = 0
        whole.n = n
        if self.conditions.can_fault:
            status = self.judge(batch, &whole, 1, fault)
            if status != STATUS_OK:
                self.retract()
                return status
        return self._give(self._run(batch, base_sequence, &whole, 1, fault), out, fault)

    cdef int prepare(self, BatchC *batch, int64_t start, int64_t n, int shares, int32_t *rows, uint8_t *letters,
                     int32_t *ends, bint *lettered, Fault *fault) noexcept nogil:
        cdef int64_t i
        cdef int status = ordering_check(&self.ordering, batch.columns, start, n, False, fault)
        if status != STATUS_OK:
            return status
        lettered[0] = False
        status = self._reserve_split(n)
        for i in range(self.n_keys):
            self.keys[i] = &batch.columns[self.key_columns[i]]
        if status == STATUS_OK:
            for i in range(n):
                self.split_rows[i] = <int32_t>(start + i)
            status = owners_find(&self.owners, self.keys, self.n_keys, NULL, start, n, shares, self.split_owners)
        if status != STATUS_OK:
            return fault_set(fault, status, -1, -1, 0, 0, NULL)
        owners_split(self.split_owners, self.split_rows, NULL, n, shares, rows, letters, ends)
        return STATUS_OK

    cdef int take(self, BatchC *batch, int64_t base_sequence, const Piece *pieces, int64_t n_pieces, BatchC **out,
                  Fault *fault) noexcept nogil:
        cdef int status
        out[0] = NULL
        if self.finished or self.broken:
            return fault_set(fault, STATUS_CLOSED, -1, -1, 0, 0,
                             "the matcher has seen the end of its input and" if self.finished else
                             "the matcher ran out of memory and")
        # Within the batch `prepare` has looked; every instance finds the same here.
        status = ordering_check(&self.ordering, batch.columns, 0, 1, True, fault)
        if status != STATUS_OK:
            self.retract()
            return status
        return self._give(self._run(batch, base_sequence, pieces, n_pieces, fault), out, fault)

    cdef void layout(self, int column, int32_t *kind, int32_t *width) noexcept nogil:
        self.results.output.layout(column, kind, width)

    cdef int advance(self, int64_t time, BatchC **out, Fault *fault) noexcept nogil:
        cdef int status = STATUS_OK
        out[0] = NULL
        if self.finished or self.broken:
            return fault_set(fault, STATUS_CLOSED, -1, -1, 0, 0, "the matcher has seen the end of its input and")
        if self.ordering.time >= 0 and (not self.ordering.has_watermark or time > self.ordering.watermark):
            self.ordering.watermark = time
            self.ordering.has_watermark = True
        if self.threads.within:
            status = tracks_advance(&self.threads, time, self.definitions, self.results)
        return self._give(status, out, fault)

    cdef int finish(self, BatchC **out, Fault *fault) noexcept nogil:
        cdef int status = STATUS_OK
        out[0] = NULL
        if self.broken:
            return fault_set(fault, STATUS_CLOSED, -1, -1, 0, 0, "the matcher ran out of memory and")
        if not self.finished:
            status = tracks_finish(&self.threads, self.definitions, self.results)
        self.finished = True
        return self._give(status, out, fault)

    # ------------------------------------------------------------ binding

    cdef str context(self, const Fault *fault):
        cdef str left_out = " (its match is left out)"
        if fault.more:
            left_out = f" (its match is left out, and so are those of {fault.more} more faults)"
        if fault.code == STATUS_UNSORTED or fault.code == STATUS_NULL_TIME:
            return f"ORDER BY {self.input.names[fault.item]}"
        if fault.stage == STAGE_CONDITION and 0 <= fault.item < len(self.plan["condition_names"]):
            return self.plan["condition_names"][fault.item]
        if fault.stage == STAGE_DEFINITION:
            return (self.plan["rest_names"][fault.item] if fault.item >= 0 else "an aggregate in DEFINE") + left_out
        if fault.stage == STAGE_SKIP:
            return f"AFTER MATCH SKIP TO {self.plan['skip_name']}{left_out}"
        if fault.stage == STAGE_STEPS:
            return f"one start row{left_out}"
        return self.results.context(fault)

    @property
    def partitions(self):
        """How many partitions have been seen."""
        return self.threads.keys.count

    @property
    def sequence(self):
        """The sequence behind the last event that was taken."""
        return self.next_sequence

    @property
    def open_attempts(self):
        """How many attempts (start rows) are open: the partial matches that are kept."""
        return self.threads.n_open

    @property
    def kept_rows(self):
        """How many rows of events are kept for attempts and definitions."""
        return self.threads.history.n_rows

    cpdef bytes save(self):
        cdef Blob b
        cdef Threads *t = &self.threads
        cdef bytes keys = keymap_save(&t.keys)
        cdef bytes body, head
        if self.broken:
            raise StateError("the matcher ran out of memory and has no state to save")
        if self.results.waiting() or t.fault.code != STATUS_OK:
            raise StateError("matches are waiting behind a fault; take them with advance() or push() before saving")
        # A refused batch may have brought partitions that have no track yet.
        if tracks_reserve(t, t.keys.count) != STATUS_OK or threads_collect(t, self.definitions) != STATUS_OK:
            raise MemoryError("no memory to save a matcher")
        memset(&b, 0, sizeof(Blob))
        blob_i64(&b, self.next_sequence)
        blob_i64(&b, self.finished)
        blob_i64(&b, len(keys))
        blob_put(&b, <const char *>keys, len(keys))
        ordering_save(&self.ordering, &b)
        lag_save(&self.conditions.lags, t.keys.count if self.conditions.lagged else 0, &b)
        threads_save(t, &b)
        if b.failed:
            free(b.data)
            raise MemoryError("no memory to save a matcher")
        body = (<const char *>b.data)[:b.used]
        free(b.data)
        head = MAGIC + self.plan["fingerprint"]
        return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body

    cpdef restore(self, bytes state):
        cdef Reader r
        cdef ThreadMatcher fresh
        cdef int status
        cdef int64_t size
        cdef bytes body, head
        if state[:len(MAGIC)] != MAGIC:
            raise StateError("these bytes are not a matcher's state of this version; nothing was restored")
        if state[len(MAGIC):len(MAGIC) + 16] != self.plan["fingerprint"]:
            raise StateError("this state belongs to another pattern or schema; nothing was restored")
        head, body = state[:len(MAGIC) + 16], state[len(MAGIC) + 20:]
        if zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") != state[len(head):len(head) + 4]:
            raise StateError("the saved state is torn (its checksum does not fit); nothing was restored")
        memset(&r, 0, sizeof(Reader))
        r.data = <const uint8_t *><const char *>body
        r.size = len(body)
        # All into this matcher only if it is whole: a second one is filled first.
        fresh = ThreadMatcher(dict(self.plan, conditions=self.plan["make_conditions"](),
                                   results=self.plan["make_results"]()))
        fresh.next_sequence = reader_i64(&r)
        fresh.finished = reader_i64(&r) != 0
        size = reader_count(&r, 1)
        # No stream is as long as 2^62; so numbers of rows and matches, which are smaller, can be counted on without care.
        status = STATUS_STATE if r.failed or not 0 <= fresh.next_sequence < <int64_t>1 << 62 else STATUS_OK
        if status == STATUS_OK:
            status = keymap_restore(&fresh.threads.keys, r.data + r.at, size)
            r.at += size
        if status == STATUS_OK:
            status = ordering_restore(&fresh.ordering, &r)
        if status == STATUS_OK and fresh.conditions.lagged:
            status = lag_reserve(&fresh.conditions.lags, fresh.threads.keys.count)
            if status == STATUS_OK:
                status = lag_restore(&fresh.conditions.lags, fresh.threads.keys.count, &r)
        if status == STATUS_OK:
            status = threads_restore(&fresh.threads, fresh.definitions, &r, fresh.next_sequence)
        if status == STATUS_OK and (r.failed or r.at != r.size or fresh.finished != fresh.threads.ended):
            status = STATUS_STATE
        if status == STATUS_NO_MEMORY:
            raise MemoryError("no memory to restore a matcher")
        if status != STATUS_OK:
            raise StateError("the saved state is not whole; nothing was restored")
        self._swap(fresh)

    cdef int _swap(self, ThreadMatcher other) except -1:
        """Exchanges all state; `other` then frees what was ours. What the plan gave is alike in both."""
        cdef Threads threads = self.threads
        cdef Ordering ordering = self.ordering
        self.threads = other.threads
        other.threads = threads
        self.ordering = other.ordering
        other.ordering = ordering
        self.conditions, other.conditions = other.conditions, self.conditions
        self.results, other.results = other.results, self.results
        self.next_sequence = other.next_sequence
        self.finished = other.finished
        return 0
