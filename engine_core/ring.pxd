"""The ring of batches: ring.hpp's classes for nogil code, and Ring, which owns one and all that lies in it."""
from libc.stdint cimport int16_t, int32_t, int64_t

cdef extern from "ring.hpp" namespace "tocsin" nogil:
    const int64_t RING_FULL
    const int64_t RING_CLOSED
    const int64_t RING_TOO_MANY
    const int64_t RING_RELIEVE

    const int64_t RING_DISPLACED
    const int64_t RING_DROPPED
    const int RING_BLOCK
    const int RING_YIELD
    const int RING_SPIN

    cppclass Message:
        int16_t kind
        int16_t mark
        int32_t id
        void *batch
        int64_t base
        int64_t last
        int64_t time
        void *note
        int64_t ticket

    cppclass Slot(Message):
        pass

    cppclass Dropped "tocsin::Ring::Dropped":
        int64_t batches
        int64_t events

    cppclass RingC "tocsin::Ring":
        @staticmethod
        RingC *make(int64_t capacity, bint many_producers, int64_t spins, void (*recycle)(void *) noexcept nogil,
                    int waiting, bint drops)

        @staticmethod
        void destroy(RingC *ring)
        bint foreign()
        bint closed()
        int64_t capacity()
        int64_t claimed()
        int64_t position(int reader)
        int64_t depth()
        int join()
        int readers()
        int64_t try_claim(int64_t n)
        int64_t claim(int64_t n, int64_t timeout_ns)
        Slot *at(int64_t sequence)
        bint published(int64_t sequence)
        void publish(int64_t sequence)
        void publish(int64_t sequence, bint small)
        void show(int64_t sequence)
        void wake(bint small)
        bint asleep(bint small)
        int64_t available(int reader)
        int64_t wait(int reader, int64_t timeout_ns)
        void share(RingC &outbox)
        bint shared()
        int64_t wait_turn(int reader)
        int64_t watch(int reader, RingC &inbox, int its_reader, int64_t timeout_ns)
        void pass_turn "pass" ()
        void go_handle()
        void go_away(int reader)
        void enter(int reader, Message *out)
        void enter_at(int64_t sequence, Message *out)
        bint idle(int64_t sequence)
        void fence()
        int64_t epoch()
        int64_t displace(const Message &message, Message *gone, Message *gone_too)
        bint count_for(int32_t id)
        Dropped dropped(int32_t id)
        void advance(int reader, int64_t n)
        void reclaim()
        void close()

# What a slot says. On the way in: `id` is a stream; on the way out: a trigger.
cdef enum SlotKind:
    SLOT_NOTHING = 0    # claimed, and then there was nothing to say (the store refused the batch)
    SLOT_DATA = 1       # in: `batch` from sequence `base`, `time` the watermark after it; out: matches of base..last
    SLOT_ADVANCE = 2    # in: the watermark of stream `id` is now `time`
    SLOT_FINISH = 3     # in: end of input for every operator
    SLOT_CONTROL = 4    # in: `note` is a Control record; out: it has taken effect
    SLOT_BARRIER = 5    # in and out: everything before it has gone by (`ticket` says which)
    SLOT_OPEN = 7       # in: as SLOT_DATA, but rows may still come (open_batch.hpp); readers see SLOT_DATA
    SLOT_CUT = 8        # in: `note` is a Cut (shard.pyx) that gets the state of every trigger; out: it has
    SLOT_FAULT = 6      # out: trigger `id` could not process `batch`; `note` is a malloc'ed Fault

cdef int64_t claim_blocking(RingC *ring, int64_t n, int64_t timeout_ns) except? -4


cdef class Ring:
    cdef RingC *c
    cdef readonly bint drops
    cdef public bint lossy      # a batch was dropped
    cdef list owed
    cdef int remember(self, int64_t first, int64_t n) except -1
    cdef bint _paid(self, int64_t first, int64_t n)
    cdef int _check(self, int reader) except -1
