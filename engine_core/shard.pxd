"""Shard: one worker's part of the engine."""
from libc.stdint cimport int32_t, int64_t
from .batch cimport BatchC
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
    const RoutesC *routes
    int reader              # in the inbox
    bint finished           # SLOT_FINISH has gone by
    int64_t stamp           # of the slot under way
    Outgoing *items         # items[head:size] wait to be taken; `room` are allocated
    int64_t head
    int64_t size
    int64_t room
    int64_t lost            # outgoing things that had nowhere to go: the outbox was closed from outside


cdef class Shard:
    cdef ShardC c
    cdef readonly Ring inbox
    cdef readonly Ring outbox
    cdef int outbox_reader
    cdef dict known         # source id -> (Operator, its source), for the schemas of what goes out
    cdef tuple wrap(self, Outgoing *item)
