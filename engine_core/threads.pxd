"""Threads: attempts whose definitions may read the match so far, stepped one row at a time. The structures, and the step."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .captures cimport Definitions
from .column cimport Column
from .history cimport History
from .keymap cimport KeyMap
from .operator cimport STAGE_RESULT
from .seek cimport EXITS_MAX, Exit, Seeks
from .status cimport Fault
from .trace cimport Trace

cdef enum:
    NONE = -1                   # no such thread, attempt, block
    FOLLOW_MATCH = -1           # in a list of positions: the match may end here
    FOLLOW_MATCH_AT_END = -2    # ... if the partition ends here

cdef enum:                      # Fault.stage: a match is left out because ...
    STAGE_DEFINITION = STAGE_RESULT + 4     # a definition has no value (item: the rest, or -1)
    STAGE_SKIP = STAGE_RESULT + 5           # there is no row to skip to
    STAGE_STEPS = STAGE_RESULT + 6          # it took more than max_steps

cdef enum Outcome:              # of stepping an attempt as far as its rows go
    OPEN = 0                    # it waits for a row
    DECIDED = 1                 # no row can change what it is
    FAILED = 2                  # a fault (status in Threads.fault): it is decided, and has no match
    EXHAUSTED = 3               # no memory: the state cannot be trusted any more
    HELD_UP = 4                 # within threads.pyx: a definition reads a row that has not come

cdef enum Skip:
    SKIP_PAST_LAST = 0
    SKIP_NEXT = 1
    SKIP_TO_FIRST = 2
    SKIP_TO_LAST = 3

cdef struct Thread:             # one way in which an attempt may have mapped its rows, most preferred first in its list
    int32_t position            # of its last row; n_positions (+ 1) before the first one (at the partition's start)
    int32_t node                # its last recorded row
    int32_t registers           # its block, or NONE
    int32_t next
    uint64_t value[EXITS_MAX]   # waiting: what its exits search for
    uint64_t also[EXITS_MAX]    # ... and compare besides
    int32_t wake[EXITS_MAX]     # the row that each found, or NO_ROW
    uint8_t key_state[EXITS_MAX]
    int32_t same                # within a step: the new thread before it at the same position, or NONE

cdef struct Attempt:            # all threads that begin at one row
    int32_t track
    int32_t start               # history row
    int32_t cursor              # the last row consumed, or NO_ROW
    int32_t threads             # first of the list, or NONE
    int32_t node                # the candidate's: the best match found so far
    int32_t last                # its last row
    int64_t length              # its number of rows; -1: no match so far
    int64_t number              # of the match, should there be one; known only where a definition asks
    int64_t steps               # towards max_steps
    int32_t before              # neighbours in the track, by start
    int32_t after
    uint32_t generation         # tells a timer's attempt from a later one in the same place
    uint8_t state               # Outcome
    uint8_t used
    uint8_t parked              # nobody looks at it until a row calls for one of its tickets
    uint32_t ticket
    int32_t active_before       # neighbours among the track's active attempts (indexed only)
    int32_t active_after
    uint8_t active
    uint8_t waits               # all of its threads wait (seek)
    uint8_t armed               # it has its timer
    uint8_t given               # its match is out (numbered only: it stays for the count of those behind it)

cdef struct Track:              # a partition
    int32_t head                # attempts, by start
    int32_t tail
    int32_t active              # of the attempts that every row is shown to (indexed only)
    int32_t newest              # its newest row, or NO_ROW if nobody needs it
    int32_t waiting             # where the next attempt begins; ROW_UNKNOWN: at the next row that comes
    int32_t covered             # the last row of any match so far, or NO_ROW
    int32_t first               # the partition's first row while it is kept; ROW_UNKNOWN: the next one to be kept is it
    uint8_t begun               # it has had a row
    uint8_t kept                # a row of the chunk under way is kept, so those behind it must be too
    int64_t matches
    int64_t rows                # that have come to the history

cdef struct Due:                # a timer: an attempt's window closes
    int64_t time                # start's time
    int64_t sequence
    int32_t attempt
    uint32_t generation

cdef struct Ticket:             # an attempt that waits for one of a thread's exits
    uint64_t value
    uint64_t also
    const Exit *exit
    int32_t attempt
    uint32_t number             # the attempt's ticket number then; another one now: it is void
    int32_t condition           # the row must meet it too, or -1
    int32_t following           # in a bucket: the next ticket, or NONE

cdef struct Bucket:             # tickets for equality, by partition and value
    uint64_t key                # 0: free
    int32_t first

cdef struct Heap:               # tickets for one comparison with one column, those that the smallest change wakes first
    int32_t kind                # seek's
    int32_t tree
    Ticket *tickets
    int64_t n
    int64_t room

cdef struct Parking:
    Bucket **buckets            # by chain
    int64_t *capacity
    int64_t *used
    Ticket *tickets             # of all buckets
    int32_t n_tickets
    int32_t room
    int32_t spare
    Heap *heaps                 # 4 comparisons for each tree, and one list for the conditions
    int64_t issued              # tickets that may be void by now
    int32_t *woken              # scratch: attempts to be run
    int32_t n_woken
    int32_t woken_room

cdef struct Threads:
    # the program
    int32_t n_positions
    int32_t *variable           # of a position
    int32_t *condition          # of a position, or -1
    int32_t *rest               # of a position, or -1
    int64_t *follow_begin       # lists by position; then that of the start, and of the start of a partition
    int32_t *follow
    uint8_t *accepts            # by list: it has MATCH
    uint8_t *goes_on            # by list: it has something else
    uint8_t *at_end             # by list: it has MATCH_AT_END
    uint8_t *recorded           # by position: its rows go into the trace
    uint64_t *live              # by position: captures that can still be read
    uint64_t start_mask[2]      # conditions of the first positions (not at, at the partition's start)
    bint start_always[2]        # any row may begin a match
    bint eager                  # every row begins its attempt when it comes; else when all earlier ones are decided
    bint numbered               # eager: matches need their numbers
    bint unmatched              # rows of no match are shown
    bint omit_empty
    bint within
    int64_t interval
    int32_t skip
    uint64_t skip_variables
    int64_t max_steps           # of one attempt; 0: no limit
    int32_t n_words             # of a block of registers
    int32_t back                # rows beside a kept row that may be read
    int32_t ahead
    # the state
    Seeks seeks
    Parking parking
    bint indexed                # eager, and there are waiting positions: attempts are parked
    KeyMap keys
    History history
    Trace trace
    Thread *threads
    int32_t n_threads
    int32_t threads_room
    int32_t threads_spare
    uint64_t *blocks
    int32_t n_blocks
    int32_t blocks_room
    int32_t *blocks_spare
    int32_t n_blocks_spare
    int32_t blocks_spare_room
    Attempt *attempts
    int32_t n_attempts
    int32_t attempts_room
    int32_t attempts_spare
    int64_t n_open
    Track *tracks
    int64_t n_tracks
    int64_t tracks_room
    Due *dues
    int64_t n_dues
    int64_t dues_room
    int64_t now
    bint has_now
    bint ended
    int32_t *chain              # scratch, per position: the last new thread there, or NONE
    int32_t *reached            # ... positions whose chain is set
    int32_t n_reached
    int32_t *match_rows         # scratch: a match's recorded rows
    int32_t *match_positions
    int64_t match_room
    int32_t preferred           # of a step that was not taken: see step
    int32_t *turn               # scratch: (start, attempt) of those that a row is shown to
    int64_t turn_room
    Fault fault                 # the first that waits to be told
    # which event makes a match certain: see operator.pxd, order of matches
    bint ranked                 # somebody asks
    bint closing                # a window that closes at `due`, or the end of input; else the row that is being stepped
    int64_t due
    int64_t whose_turn
    int64_t stepped             # sequence of the row
    int64_t base_sequence       # of the batch
    const Column *times         # of its n_batch rows (WITHIN); none outside of a batch
    int64_t n_batch

cdef int threads_init(Threads *t) noexcept nogil
cdef void threads_free(Threads *t) noexcept nogil
cdef int32_t attempt_new(Threads *t, int32_t track, int32_t start, bint at_start, Definitions d) noexcept nogil
cdef void attempt_drop(Threads *t, int32_t attempt) noexcept nogil
# The state of a waiting thread's key for its exit `i`, which is computed if nobody has asked yet: a KeyState.
cdef int attempt_key(Threads *t, const Attempt *a, int32_t thread, int i, Definitions d) noexcept nogil
# Puts an attempt among its track's active ones, or takes it out.
cdef void attempt_activate(Threads *t, int32_t attempt) noexcept nogil
cdef void attempt_rest(Threads *t, int32_t attempt) noexcept nogil
# Steps an attempt over the rows that there are.
cdef Outcome attempt_run(Threads *t, int32_t attempt, Definitions d) noexcept nogil
cdef void threads_list_drop(Threads *t, int32_t thread) noexcept nogil
cdef int32_t block_new(Threads *t) noexcept nogil
cdef int32_t thread_new(Threads *t) noexcept nogil
# The first fault is kept, further ones are counted.
cdef void threads_fault(Threads *t, const Fault *fault) noexcept nogil
