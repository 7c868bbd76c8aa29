"""Shard: one worker's part of the engine."""
from libc.stdint cimport int32_t, int64_t
from .batch cimport BatchC
from .operator cimport Operator
from .ring cimport Ring, RingC
from .status cimport Fault
from .topology cimport NodeC, RoutesC

# One thing that the shard has to say; in a ring, the same fields lie in a Slot.
cdef struct Outgoing:
    int32_t kind
    int32_t id
    BatchC *batch
    int64_t base
    int64_t last
    void *note
    int64_t ticket
    int64_t stamp           # when the push that led to it was accepted (histogram.hpp); 0: nobody's push; in a Slot: time

cdef struct ShardC:
    RingC *inbox
    RingC *outbox           # NULL: inline, outgoing things wait in `items`
    bint relieving          # the one who takes has the worker's turn (relay.hpp): outgoing things wait in `items` too
    const RoutesC *routes
    int reader              # in the inbox
    bint finished           # SLOT_FINISH has gone by
    int64_t stamp           # of the slot under way
    Outgoing *items         # items[head:size] wait to be taken; `room` are allocated
    int64_t head
    int64_t size
    int64_t room
    int64_t lost            # outgoing things that had nowhere to go: the outbox was closed from outside


cdef class Cut:
    cdef readonly dict states
    cdef readonly dict emitted
    cdef readonly object failure
    cdef readonly bint filled
    cdef int keep(self, int id, int instance, Operator operator) except -1


cdef class Shard:
    cdef ShardC c
    cdef readonly Ring inbox
    cdef readonly Ring outbox
    cdef int outbox_reader
    cdef dict known         # source id -> (Operator, its source), for the schemas of what goes out
    cdef tuple wrap(self, Outgoing *item)
    cdef int take_items(self, object found, int64_t most) except -1

# What one step is made of, for those who take steps in another way (crew.pyx). All on the shard's thread, or, of several,
# on one after the other.
cdef void fill(Outgoing *item, int kind, int id, BatchC *batch, int64_t base, int64_t last) noexcept nogil
cdef void clear(Fault *fault) noexcept nogil
cdef void emit(ShardC *shard, Outgoing *item) noexcept nogil
# Sends a fault out, with a reference of its own to the batch that led to it (or NULL).
cdef void report(ShardC *shard, NodeC *node, Fault *fault, BatchC *batch, int64_t base, int64_t last) noexcept nogil
# Matches (or NULL, or none) go out and on to their listeners; the reference is taken over.
cdef void settle(ShardC *shard, NodeC *node, int status, BatchC *out, Fault *fault, BatchC *batch, int64_t base,
                 int64_t last) noexcept nogil
# End of input for the listeners of `source`.
cdef void finish(ShardC *shard, int32_t source) noexcept nogil
# The parts of a Cut (`note`): see shard.pyx.
cdef void cut_operators(ShardC *shard, void *note, int worker) noexcept with gil
cdef void cut_upon(ShardC *shard, void *note) noexcept with gil
