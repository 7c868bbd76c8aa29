"""From a finished match to its row of leaf values.

What        a leaf is what a measure reads of a match: the first or last value of a variable, a count, a sum, ...
            (expressions over leaves are run column-wise afterwards). Leaves of the first and last row come with the
            match; the others need to know which variable each row was.
Labels      the match's rows are walked twice. Forward: the automaton's states from the start row on. Backward: from
            the match's thread at the last row to its parent thread, row by row; the thread's position names the
            variable. Only finished matches are labelled, so detection never pays for it.
Cost        two look-ups per row of the match, then one pass over its rows per leaf.
Sums        of ints in 128 bits, so that the order of the rows cannot matter; a result beyond 64 bits is a fault.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from .automaton cimport CODE_ACCEPT, CODE_NO_MEMORY, CODE_STATE, Dfa, dfa_next, dfa_parents
from .builder cimport (OutColumn, out_push_bytes, out_push_f64, out_push_word, out_push_null, out_truncate)
from .keymap cimport KeyMap, keymap_emit
from .registers cimport TYPE_F64, TYPE_STR, TYPE_U64
from .words cimport values_emit, word_view
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_OVERFLOW, STATUS_STATE, Fault, fault_set
from .vector cimport Str, compare_sign_str


cdef extern from "wide.hpp" namespace "tocsin" nogil:
    struct WideSum:
        pass
    void wide_clear(WideSum *) noexcept
    void wide_add_i64(WideSum *, int64_t) noexcept
    void wide_add_u64(WideSum *, uint64_t) noexcept
    bint wide_to_i64(const WideSum *, int64_t *) noexcept
    bint wide_to_u64(const WideSum *, uint64_t *) noexcept


# ---------------------------------------------------------------- kernel

cdef inline const uint64_t *values_at(const Measures *m, const Found *f, int64_t i) noexcept nogil:
    return <const uint64_t *>(f.records + i * m.record_stride + sizeof(Record))


cdef inline bint in_variables(const Leaf *leaf, const Measures *m, int64_t i) noexcept nogil:
    return (leaf.variables >> m.labels[i]) & 1


cdef int label_rows(Measures *m, Dfa *d, const Found *f) noexcept nogil:
    """Fills m.labels for the records of the match."""
    cdef int64_t i, room, parents
    cdef uint32_t code = 0, state, thread
    cdef const Record *r
    cdef void *p
    if f.n_records > m.scratch_room:
        room = 2 * f.n_records + 64
        p = realloc(m.states, room * sizeof(uint32_t))
        if p == NULL:
            return STATUS_NO_MEMORY
        m.states = <uint32_t *>p
        p = realloc(m.labels, room)
        if p == NULL:
            return STATUS_NO_MEMORY
        m.labels = <uint8_t *>p
        m.scratch_room = room
    state = d.start
    for i in range(f.n_records):
        m.states[i] = state         # before row i
        r = <const Record *>(f.records + i * m.record_stride)
        code = dfa_next(d, state, r.letter)
        if code == CODE_NO_MEMORY:
            return STATUS_NO_MEMORY
        state = code & CODE_STATE
    if not code & CODE_ACCEPT:      # only a restored state that was tampered with can be so
        return STATUS_STATE
    # The match is the thread behind the last of the state's own.
    thread = d.states[state].count
    for i in range(f.n_records - 1, -1, -1):
        r = <const Record *>(f.records + i * m.record_stride)
        parents = dfa_parents(d, m.states[i], r.letter)
        thread = d.parent_lists[parents + thread]
        m.labels[i] = <uint8_t>d.nfa.variable[d.lists[d.states[m.states[i]].begin + thread]]
    return STATUS_OK


cdef int emit_sum(const Measures *m, const Leaf *leaf, const Found *f, OutColumn *out, int item,
                  Fault *fault) noexcept nogil:
    cdef WideSum wide
    cdef double real = 0.0, x
    cdef int64_t i, whole = 0, rows = 0
    cdef uint64_t natural = 0
    cdef const uint64_t *words
    wide_clear(&wide)
    for i in range(f.n_records):
        if not in_variables(leaf, m, i):
            continue
        words = values_at(m, f, i)
        if (words[0] >> leaf.column) & 1:
            continue
        rows += 1
        if leaf.type == TYPE_F64:
            memcpy(&x, &words[1 + leaf.column], 8)
            real += x
        elif leaf.type == TYPE_U64:
            wide_add_u64(&wide, words[1 + leaf.column])
            real += <double>words[1 + leaf.column]
        else:
            wide_add_i64(&wide, <int64_t>words[1 + leaf.column])
            real += <double><int64_t>words[1 + leaf.column]
    if rows == 0:
        return out_push_null(out)
    if leaf.out_type == TYPE_F64:
        return out_push_f64(out, real)
    if leaf.out_type == TYPE_U64:
        if not wide_to_u64(&wide, &natural):
            return fault_set(fault, STATUS_OVERFLOW, -1, item, f.first_sequence, f.last_sequence, "SUM")
        return out_push_word(out, <int64_t>natural)
    if not wide_to_i64(&wide, &whole):
        return fault_set(fault, STATUS_OVERFLOW, -1, item, f.first_sequence, f.last_sequence, "SUM")
    return out_push_word(out, whole)


cdef inline bint word_less(int type, const uint64_t *a, const uint64_t *b) noexcept nogil:
    cdef double x, y
    cdef Str s, t
    if type == TYPE_F64:
        memcpy(&x, a, 8)
        memcpy(&y, b, 8)
        # NaN stands above every number, so that MIN and MAX do not depend on the order of the rows.
        return x < y or (y != y and x == x)
    if type == TYPE_U64:
        return a[0] < b[0]
    if type == TYPE_STR:
        word_view(a, &s.data, &s.size)
        word_view(b, &t.data, &t.size)
        return compare_sign_str(s, t) < 0
    return <int64_t>a[0] < <int64_t>b[0]


cdef int emit_labelled(const Measures *m, int item, const Found *f, OutColumn *out, Fault *fault) noexcept nogil:
    cdef const Leaf *leaf = &m.leaves[item]
    cdef int64_t i, count = 0, at = -1
    cdef const uint64_t *words
    cdef const uint64_t *best
    if leaf.kind == LEAF_CLASSIFIER:
        for i in range(f.n_records - 1, -1, -1):
            if in_variables(leaf, m, i):
                return out_push_bytes(out, m.names[m.labels[i]], m.name_sizes[m.labels[i]])
        return out_push_null(out)
    if leaf.kind == LEAF_SUM:
        return emit_sum(m, leaf, f, out, item, fault)
    if leaf.kind == LEAF_FIRST:
        for i in range(f.n_records):
            if in_variables(leaf, m, i):
                if count == leaf.offset:
                    at = i
                    break
                count += 1
    elif leaf.kind == LEAF_LAST:
        for i in range(f.n_records - 1, -1, -1):
            if in_variables(leaf, m, i):
                if count == leaf.offset:
                    at = i
                    break
                count += 1
    elif leaf.kind == LEAF_COUNT_ROWS:
        for i in range(f.n_records):
            count += in_variables(leaf, m, i)
        return out_push_word(out, count)
    elif leaf.kind == LEAF_COUNT:
        for i in range(f.n_records):
            if in_variables(leaf, m, i):
                count += not (values_at(m, f, i)[0] >> leaf.column) & 1
        return out_push_word(out, count)
    else:
        for i in range(f.n_records):
            if not in_variables(leaf, m, i):
                continue
            words = values_at(m, f, i)
            if (words[0] >> leaf.column) & 1:
                continue
            if at < 0:
                at = i
                continue
            best = values_at(m, f, at)
            if leaf.kind == LEAF_MIN:
                if word_less(leaf.type, &words[1 + leaf.column], &best[1 + leaf.column]):
                    at = i
            elif word_less(leaf.type, &best[1 + leaf.column], &words[1 + leaf.column]):
                at = i
    if at < 0:
        return out_push_null(out)
    return values_emit(out, leaf.type, values_at(m, f, at), leaf.column)


cdef int emit_leaf(const Measures *m, const KeyMap *keys, int i, const Found *f, OutColumn *out,
                   Fault *fault) noexcept nogil:
    cdef const Leaf *leaf = &m.leaves[i]
    if leaf.kind == LEAF_KEY:
        if keys.single and leaf.type != TYPE_F64 and f.partition != keys.null_id:
            return out_push_word(out, <int64_t>keys.numbers[f.partition])
        return keymap_emit(keys, f.partition, leaf.column, out)
    if leaf.kind == LEAF_MATCH_NUMBER:
        return out_push_word(out, f.number)
    if leaf.kind == LEAF_SETTLED:
        return out_push_word(out, f.settled)
    if leaf.kind == LEAF_TURN:
        return out_push_word(out, f.turn)
    if leaf.kind == LEAF_FIRST_SEQUENCE:
        return out_push_word(out, f.first_sequence)
    if leaf.kind == LEAF_LAST_SEQUENCE:
        return out_push_null(out) if f.empty else out_push_word(out, f.last_sequence)
    if f.empty:
        if leaf.kind == LEAF_COUNT or leaf.kind == LEAF_COUNT_ROWS:
            return out_push_word(out, 0)
        return out_push_null(out)
    if leaf.kind == LEAF_START_TIME:
        return out_push_word(out, f.first_time)
    if leaf.kind == LEAF_START:
        return values_emit(out, leaf.type, values_at(m, f, 0) if m.labelled else f.start_values, leaf.column)
    if leaf.kind == LEAF_END:
        return values_emit(out, leaf.type, values_at(m, f, f.n_records - 1) if m.labelled else f.end_values, leaf.column)
    return emit_labelled(m, i, f, out, fault)


cdef int measure_emit(Measures *m, Dfa *d, const KeyMap *keys, const Found *found, OutColumn *out,
                      Fault *fault) noexcept nogil:
    """Appends one row of leaf values; on a fault nothing is appended."""
    cdef int i, status
    cdef int64_t length = out[0].length
    if m.labelled and not found.empty:
        status = label_rows(m, d, found)
        if status != STATUS_OK:
            return status
    for i in range(m.n_leaves):
        status = emit_leaf(m, keys, i, found, &out[i], fault)
        if status != STATUS_OK:
            measure_undo(m, out, length)
            return status
    return STATUS_OK


cdef void measure_undo(const Measures *m, OutColumn *out, int64_t length) noexcept nogil:
    cdef int i
    for i in range(m.n_leaves):
        if out[i].length > length:
            out_truncate(&out[i], length)
