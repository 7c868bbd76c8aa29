"""Crew: a shard that several workers run together."""
from libc.stdint cimport int32_t, int64_t, uint8_t

from .batch cimport BatchC
from .jobs cimport Jobs
from .operator cimport Piece
from .ring cimport Message
from .shard cimport Shard, ShardC
from .spares cimport Spares
from .status cimport Fault
from .topology cimport NodeC

cdef enum:
    WORKERS_MAX = 64            # readers of a ring
    JOBS_UNDER_WAY = 64
    AHEAD_MAX = 8               # jobs that a worker who waits looks ahead
    SEGMENT_ROWS = 8192         # rows that one worker prepares at a time; a multiple of CHUNK
    ROWS_KEPT = 262144          # memory for so many rows is kept from job to job, and no larger piece
    ROW_BYTES = 5               # of a job's row: its number and its letter

# What one call of an operator gave: first the matches that have no value, one fault each, then a batch or a refusal.
cdef struct Answer:
    BatchC *matches             # or NULL
    Fault *faults
    int32_t n_faults
    int32_t faults_room
    bint refused
    Fault refusal

cdef struct Part:               # of one worker in one job
    Answer taken                # of the batch, or of the end of input
    Answer advanced             # of the watermark behind it

cdef struct Segment:            # rows that are prepared together
    int32_t start
    int32_t n
    int32_t *ends               # by worker: see Operator.prepare
    bint lettered
    int32_t status
    Fault fault

cdef struct Work:               # the record of one job
    int32_t kind                # a SlotKind: what the slot says
    NodeC *node                 # or NULL: the job is a message to the shard itself
    BatchC *batch               # the slot's, borrowed
    int64_t base
    int64_t last
    int64_t time
    int64_t ticket
    void *note                  # a Cut, or NULL
    int64_t stamp
    int32_t owner               # the one worker that has a part, or -1: all have
    int32_t n_segments
    Segment *segments
    int32_t segments_room
    int32_t *ends
    int32_t *rows               # and behind them the letters: one block of `spares` while the job is under way
    uint8_t *letters
    size_t rows_bytes           # how large that is
    Fault refusal               # of the whole job before anybody has begun; code STATUS_OK: none
    Part *parts                 # by worker

cdef struct WorkerC:
    ShardC shard                # its own reader and its own version of the routes
    int32_t number
    int64_t job                 # the next one
    int64_t known               # slots below may be read
    Message ahead               # what slot `ahead_entered` says
    int64_t ahead_entered
    int64_t ahead_slot          # where helping ahead goes on: slot, job within it, number of that job
    int64_t ahead_index
    int64_t ahead_job
    Piece *pieces
    int32_t pieces_room
    Spares *spares              # the crew's


cdef class Crew(Shard):
    cdef int n_workers
    cdef int running            # workers that have not ended
    cdef object leaving         # a lock: for the count
    cdef WorkerC *workers
    cdef Jobs *jobs
    cdef Work *works
    cdef Spares *spares
    cdef int _prepare(self) except -1
