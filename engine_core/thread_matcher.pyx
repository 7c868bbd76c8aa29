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
from .blob cimport Blob, Reader
from .builder cimport out_init
from .column cimport column_time
from .footprint cimport threads_bytes
from .history cimport history_append, history_init
from .keymap cimport keymap_ids, keymap_init
from .lag cimport lag_reserve
from .operator cimport Piece
from .ordering cimport ordering_check
from .parking cimport parking_free, parking_init
from .registers cimport CHUNK
from .row_pattern cimport RowPattern
from .seek cimport EXITS_MAX, SEEK_EQUAL, SEEK_GREATER_EQUAL, SEEK_LESS, SEEK_MASK, Chain, Exit, Seeks, Tree
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_STATE, Fault, fault_set
from .threads cimport (FOLLOW_MATCH, FOLLOW_MATCH_AT_END, STAGE_DEFINITION, STAGE_SKIP, STAGE_STEPS, Threads, threads_free,
                       threads_init)
from .threads_state cimport threads_collect, threads_restore, threads_save, threads_wasteful
from .tracks cimport track_ignores, track_row, tracks_advance, tracks_finish, tracks_reserve

import os

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


cdef class ThreadMatcher(RowPattern):
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
        cdef Threads *t = &self.threads
        t.within = plan["within"] is not None
        t.interval = plan["within"] if t.within else 0
        self._bind(plan, t.within)
        self.definitions = plan["definitions"]
        self.results = plan["results"]
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
        self._seeks(plan)
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
        self.keymap = &t.keys
        if (threads_init(t) != STATUS_OK or history_init(&t.history, len(columns)) != STATUS_OK
                or keymap_init(&t.keys, self.n_keys, self.plan["single"], seed) != STATUS_OK):
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
        free(self.masks)
        free(self.partition_of)
        free(self.rows)
        free(self.chosen)

    # ------------------------------------------------------------ kernel

    cdef int64_t _open(self) noexcept nogil:
        return self.threads.n_open

    cdef int _reserve(self, int64_t rows) noexcept nogil:
        if rows <= self.buffer_rows:
            return STATUS_OK
        free(self.masks)
        free(self.partition_of)
        free(self.rows)
        free(self.chosen)
        self.buffer_rows = 0
        self.masks = <uint64_t *>malloc(rows * sizeof(uint64_t))
        self.partition_of = <uint32_t *>malloc(rows * sizeof(uint32_t))
        self.rows = <int32_t *>malloc(CHUNK * sizeof(int32_t))
        self.chosen = <uint32_t *>malloc(CHUNK * sizeof(uint32_t))
        if self.masks == NULL or self.partition_of == NULL or self.rows == NULL or self.chosen == NULL:
            return STATUS_NO_MEMORY
        self.buffer_rows = rows
        return STATUS_OK

    cdef int _evaluate(self, BatchC *batch, const Piece *piece, int64_t begin, int64_t n, int64_t at,
                       Fault *fault) noexcept nogil:
        """Masks and partition numbers of n rows of the piece into the buffers from `at` on."""
        cdef const int32_t *rows = piece.rows + begin if piece.rows != NULL else NULL
        cdef int64_t start = piece.start + begin
        cdef int status = keymap_ids(&self.threads.keys, self.keys, rows, start, n, self.partition_of + at)
        if status == STATUS_OK and self.conditions.lagged:
            status = lag_reserve(&self.conditions.lags, self.threads.keys.count)
        if status != STATUS_OK:
            return status
        return self.conditions.chunk(batch.columns, rows, self.partition_of + at, start, n, NULL, self.masks + at, fault)

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
            if not track_ignores(t, self.partition_of[at + i], self.masks[at + i]):
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
            status = track_row(t, self.partition_of[self.chosen[i]], row + <int32_t>i, self.definitions, self.results)
            if status != STATUS_OK:
                return status
        if t.within and piece.rows == NULL:
            status = tracks_advance(t, column_time(t.times, start + n - 1), self.definitions, self.results)
        if status == STATUS_OK and threads_wasteful(t):
            status = threads_collect(t, self.definitions)
        return status

    cdef int _give(self, int status, BatchC **out, Fault *fault) noexcept nogil:
        """The end of every call: what was found, or what went wrong."""
        cdef Threads *t = &self.threads
        self.tell(t.n_open, t.keys.count, t.history.n_rows, threads_bytes(t, self.conditions))
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

    cdef int _enter(self, BatchC *batch, int64_t base) noexcept nogil:
        cdef Threads *t = &self.threads
        t.base_sequence = base
        t.times = &batch.columns[self.ordering.columns[0].column] if t.within else NULL
        t.n_batch = batch.n_rows if t.within else 0
        return STATUS_OK

    cdef int _leave(self, BatchC *batch, int64_t base, bint shared) noexcept nogil:
        cdef Threads *t = &self.threads
        cdef int status = STATUS_OK
        if t.within and shared:
            status = tracks_advance(t, column_time(t.times, batch.n_rows - 1), self.definitions, self.results)
        t.times = NULL
        t.n_batch = 0
        t.base_sequence = base + batch.n_rows
        return status

    cdef int _pass_time(self, int64_t time) noexcept nogil:
        if not self.threads.within:
            return STATUS_OK
        return tracks_advance(&self.threads, time, self.definitions, self.results)

    cdef int _end(self) noexcept nogil:
        return tracks_finish(&self.threads, self.definitions, self.results)

    cdef int prepare(self, BatchC *batch, int64_t start, int64_t n, int shares, int32_t *rows, uint8_t *letters,
                     int32_t *ends, bint *lettered, Fault *fault) noexcept nogil:
        cdef int64_t i
        cdef int status = ordering_check(&self.ordering, batch.columns, start, n, False, fault)
        if status != STATUS_OK:
            return status
        lettered[0] = False
        status = self._reserve_split(n)
        self._bind_keys(batch)
        if status == STATUS_OK:
            for i in range(n):
                self.split_rows[i] = <int32_t>(start + i)
            status = self._split(start, n, n, False, shares, rows, letters, ends)
        if status != STATUS_OK:
            return fault_set(fault, status, -1, -1, 0, 0, NULL)
        return STATUS_OK

    cdef void layout(self, int column, int32_t *kind, int32_t *width) noexcept nogil:
        self.results.output.layout(column, kind, width)

    # ------------------------------------------------------------ binding

    cdef str context(self, const Fault *fault):
        cdef str left_out = " (its match is left out)"
        cdef str common = RowPattern.context(self, fault)
        if common:
            return common
        if fault.more:
            left_out = f" (its match is left out, and so are those of {fault.more} more faults)"
        if fault.stage == STAGE_DEFINITION:
            return (self.plan["rest_names"][fault.item] if fault.item >= 0 else "an aggregate in DEFINE") + left_out
        if fault.stage == STAGE_SKIP:
            return f"AFTER MATCH SKIP TO {self.plan['skip_name']}{left_out}"
        if fault.stage == STAGE_STEPS:
            return f"one start row{left_out}"
        return self.results.context(fault)

    @property
    def kept_rows(self):
        """How many rows of events are kept for attempts and definitions."""
        return self.threads.history.n_rows

    cdef bytes _magic(self):
        return MAGIC

    cdef bint _waits(self):
        return self.results.waiting() or self.threads.fault.code != STATUS_OK

    cdef int _before_save(self) noexcept nogil:
        cdef Threads *t = &self.threads
        # A refused batch may have brought partitions that have no track yet.
        cdef int status = tracks_reserve(t, t.keys.count)
        return threads_collect(t, self.definitions) if status == STATUS_OK else status

    cdef void _write(self, Blob *b) noexcept nogil:
        threads_save(&self.threads, b)

    cdef RowPattern _fresh(self):
        return ThreadMatcher(dict(self.plan, conditions=self.plan["make_conditions"](), results=self.plan["make_results"]()))

    cdef int _read(self, Reader *r) noexcept nogil:
        cdef int status = threads_restore(&self.threads, self.definitions, r, self.next_sequence)
        return STATUS_STATE if status == STATUS_OK and self.finished != self.threads.ended else status

    cdef int _swap(self, RowPattern other) except -1:
        """`other` then frees what was ours. What the plan gave is alike in both."""
        cdef ThreadMatcher fresh = other
        self.threads, fresh.threads = fresh.threads, self.threads
        self.results, fresh.results = fresh.results, self.results
        self.tell(self.threads.n_open, self.threads.keys.count, self.threads.history.n_rows,
                  threads_bytes(&self.threads, self.conditions))
        return 0
