"""Cohorts: the occupied states of one partition as one number, and what each letter does to it."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from .automaton cimport Dfa

cdef enum:
    COHORTS_MAX = 6             # cohorts of one partition; one with more is stepped by groups
    CONFIGS_MAX = 1024
    NEW_START = 0xFF

cdef enum Held:                 # what a cohort has found so far
    HELD_NOTHING = 0
    HELD_MATCH = 1              # a candidate
    HELD_NOW = 2                # in a Move: the row just read becomes the candidate
    HELD_FRONT = 3              # a candidate that it found as the oldest: nothing older than the candidate is open

cdef enum MoveKind:
    MOVE_UNKNOWN = 0            # not worked out yet
    MOVE_STAY = 1               # only the number changes
    MOVE_JOIN = 2               # the row starts an attempt, which joins the youngest cohort
    MOVE_PUSH = 3               # the row starts an attempt, which is a cohort of its own
    MOVE_WIN = 4                # the row ends the oldest attempt's match, for certain: report it, drop all
    MOVE_FRONT = 5              # the row is the oldest attempt's candidate: it stays alone
    MOVE_GENERAL = 6            # see the fields
    MOVE_SINGLE = 7             # the row is a match by itself, and nothing else is open afterwards
    MOVE_RESTART = 8            # everything falls, unreported, and the row starts an attempt
    MOVE_GROUPS = 9             # too many cohorts, or what is covered depends on the data: step by groups

cdef struct Move:
    uint32_t next
    uint8_t kind
    uint8_t n                   # GENERAL: cohorts afterwards
    uint8_t emit                # GENERAL: the oldest attempt is over, with its candidate
    uint8_t push                # GENERAL: the row starts an attempt; it joins the last cohort or is one
    uint8_t first[COHORTS_MAX]  # GENERAL: the old cohorts that each new one is made of (NEW_START: none)
    uint8_t last[COHORTS_MAX]
    uint8_t held[COHORTS_MAX]

cdef struct Config:
    uint32_t n
    uint32_t state[COHORTS_MAX]
    uint8_t held[COHORTS_MAX]
    Move *moves                 # per letter
    uint32_t popped             # the config without the oldest cohort, or CONFIG_UNKNOWN
    bint any_held

cdef enum:
    CONFIG_EMPTY = 0
    CONFIG_UNKNOWN = 0xFFFFFFFF

cdef struct Cohorts:
    Config *configs
    # PERF: kind << 24 | n << 16 | next of each move, by config * stride + letter: all that most steps need, in a few
    # cache lines. Zero (MOVE_UNKNOWN) until the move is worked out.
    uint32_t *codes
    int32_t stride
    uint32_t n_configs
    bint within
    bint on                     # whether the pattern can be run this way at all

cdef int cohorts_init(Cohorts *c, bint on, bint within, int stride) noexcept nogil
cdef void cohorts_free(Cohorts *c) noexcept nogil
# Works out configs[config].moves[letter]; Status.
cdef int cohorts_move(Cohorts *c, Dfa *d, uint32_t config, uint32_t letter) noexcept nogil
# The config without its oldest cohort; CONFIG_UNKNOWN when groups must do it.
cdef uint32_t cohorts_pop(Cohorts *c, Dfa *d, uint32_t config) noexcept nogil
