"""Nfa: the immutable program of a pattern; Dfa: its lazily built, bounded cache of ordered thread lists."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    DEAD = 0                    # the state without threads
    CODE_ACCEPT = 0x80000000    # a transition's target holds a match that ends with the row just read
    CODE_FINAL = 0x40000000     # ... and nothing that is preferred to it can still follow
    CODE_STATE = 0x3FFFFFFF     # the target's number
    CODE_UNKNOWN = 0xFFFFFFFF
    CODE_NO_MEMORY = 0xFFFFFFFE
    NFA_MATCH = -1
    DENSE_CONDITIONS = 8        # up to here the transitions of a state are a table of all letters

cdef struct Nfa:
    int32_t n_positions
    int32_t n_variables
    int32_t n_conditions
    int32_t *variable           # of a position
    int32_t *condition          # of a position; -1: always true
    int64_t *follow_begin       # n_positions + 2: list of position p; list n_positions is the start's
    int32_t *follow             # positions in order of preference; NFA_MATCH ends a list

cdef struct State:
    int64_t begin               # into Dfa.lists
    uint32_t count              # threads (positions), in order of preference

cdef struct Transition:         # sparse form
    uint64_t key                # state << 32 | letter, + 1; 0 = free
    uint32_t code
    int64_t parents

cdef struct Dfa:
    const Nfa *nfa
    bint dense
    bint track_parents          # measures need to know which variable each row was
    int32_t stride              # letters per state (dense)
    uint32_t n_states
    uint32_t states_room
    State *states
    int32_t *lists
    int64_t lists_used
    int64_t lists_room
    uint32_t *intern            # open addressing: state number + 1
    int64_t intern_room
    uint32_t *next              # dense: code by state * stride + letter
    int64_t *parents            # dense: where the transition's parents begin in parent_lists
    Transition *sparse
    int64_t sparse_room
    int64_t sparse_used
    uint32_t *parent_lists
    int64_t parents_used
    int64_t parents_room
    uint64_t *letters           # sparse: mask by letter
    int64_t n_letters
    int64_t letters_room
    uint32_t *letter_intern     # open addressing: letter + 1
    int64_t letter_intern_room
    uint32_t *stamp             # per position, for a list without doubles
    uint32_t stamp_now
    int32_t *scratch
    uint32_t *scratch_parent
    uint32_t start              # the state before a match's first row
    bint start_accept           # the pattern matches the empty row sequence
    bint start_final            # ... and prefers it

cdef int dfa_init(Dfa *d, const Nfa *nfa, bint track_parents) noexcept nogil
cdef void dfa_free(Dfa *d) noexcept nogil
cdef uint32_t dfa_letter(Dfa *d, uint64_t mask) noexcept nogil          # sparse: a number for the mask; CODE_NO_MEMORY
cdef uint32_t dfa_step(Dfa *d, uint32_t state, uint32_t letter) noexcept nogil   # computes and caches; the slow way
cdef int64_t dfa_parents(Dfa *d, uint32_t state, uint32_t letter) noexcept nogil  # of a transition that is cached
cdef uint32_t dfa_intern(Dfa *d, const int32_t *list, int64_t count) noexcept nogil
cdef bint dfa_full(const Dfa *d) noexcept nogil
# Forgets every state that is not in `live` (n state numbers, distinct); remap[old] gives its new number.
cdef int dfa_shrink(Dfa *d, const uint32_t *live, int64_t n, uint32_t *remap) noexcept nogil
# Letters whose rows change nothing, whatever the state: see matcher. `inert` has room for `stride` bytes.
cdef int dfa_explore(Dfa *d, uint64_t read_variables, uint8_t *inert) noexcept nogil

cdef inline uint32_t dfa_next(Dfa *d, uint32_t state, uint32_t letter) noexcept nogil:
    cdef uint32_t code
    if d.dense:
        code = d.next[<int64_t>state * d.stride + letter]
        if code != CODE_UNKNOWN:
            return code
    return dfa_step(d, state, letter)


cdef class Automaton:
    """A verified Nfa, owned."""
    cdef Nfa nfa
