"""Ring: owns a ring of batches (design, invariants and cost: ring.hpp).

The engine's rings are filled and read by nogil code (shard.pyx) through `Ring.c`; the methods here are the same
operations for tests and for whoever builds a topology in Python. Ownership: a slot that lies between the slowest
reader and the claims holds one reference to its batch. In a ring that recycles, readers borrow it, and the ring
lets go of it when all have passed; else the one reader takes it over. What is left when a Ring dies is let
go here.

Interrupts: Python runs signal handlers between any two steps of the main thread, so Ctrl-C can come after a claim has
returned and before anybody has its number: the slot would never be published, and its readers wait for ever. So a ring
remembers what the main thread has claimed, and `settle` publishes what it still owes.
"""
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from .batch cimport BatchC, batch_release
from .open_batch cimport OpenBatch

import os
import threading

SPINS = 1000   # about 20 us of looking again before a sleep: longer than the gap between quick pushes

SLOTS_MAX = 1 << 24

WAITS = {"block": RING_BLOCK, "yield": RING_YIELD, "spin": RING_SPIN}

cdef int64_t SLICE_NS = 50_000_000   # how long a blocked push is deaf to Ctrl-C


cdef int64_t claim_blocking(RingC *ring, int64_t n, int64_t timeout_ns) except? -4:
    """Claims `n` slots, waiting without the GIL up to `timeout_ns` (below zero: for ever); signals are served.

    Returns what Ring::claim returns; raises what a signal handler raised (KeyboardInterrupt), nothing claimed.
    """
    cdef int64_t first = ring.try_claim(n)
    cdef int64_t piece
    while first == RING_FULL and timeout_ns != 0:
        piece = SLICE_NS
        if 0 < timeout_ns < piece:
            piece = timeout_ns
        with nogil:
            first = ring.claim(n, piece)
        if first == RING_FULL:
            PyErr_CheckSignals()
            if timeout_ns > 0:
                timeout_ns -= piece
    return first


cdef unsigned long interruptible = threading.main_thread().ident     # the one thread that runs signal handlers


def _in_child():
    global interruptible
    interruptible = PyThread_get_thread_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


cdef int64_t nanoseconds(object timeout) except? -2:
    """Seconds (None: for ever) as the ring's nanoseconds."""
    if timeout is None:
        return -1
    if timeout < 0:
        raise ValueError(f"timeout={timeout!r} must not be below zero")
    return <int64_t>min(float(timeout) * 1e9, 9e18)


cdef void recycle(void *batch) noexcept nogil:
    batch_release(<BatchC *>batch)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


cdef class Ring:
    """A bounded ring of `slots` slots (rounded up to a power of two), read by every reader that joined.

    many_producers: several threads claim (else only one at a time may).  recycles: readers leave the batches in
    their slots, and the ring lets go of what all of them have passed (else readers take them over).  spins: how
    often a waiter looks again before it sleeps; None: 1000, or 0 with one processor.  wait: "block", "yield" or "spin"
    (ring.hpp; with one processor, "spin" yields).  drops: batches go in by `displace` when it is full.

    >>> ring = Ring(4)
    >>> reader = ring.join()
    >>> ring.publish(ring.claim(1))
    >>> ring.wait(reader)
    1
    """
    def __cinit__(self, slots=1024, *, bint many_producers=True, bint recycles=False, spins=None,
                  str wait="block", bint drops=False):
        cdef int64_t wanted = 1
        cdef void (*let_go)(void *) noexcept nogil
        let_go = NULL
        if not 1 <= slots <= SLOTS_MAX:
            raise ValueError(f"ring_slots={slots!r}: a ring has between 1 and {SLOTS_MAX} slots")
        while wanted < slots:
            wanted *= 2
        if wait not in WAITS:
            raise ValueError(f'wait={wait!r}: "block", "yield" or "spin"')
        if drops and not many_producers:
            raise ValueError("a ring that drops has many producers")
        if processors() == 1:
            spins = 0 if spins is None else spins
            wait = "yield" if wait == "spin" else wait      # who is waited for needs the one processor
        if recycles:
            let_go = recycle
        self.drops = drops
        self.c = RingC.make(wanted, many_producers, SPINS if spins is None else spins, let_go, WAITS[wait], drops)
        if self.c == NULL:
            raise MemoryError(f"no memory for a ring of {wanted} slots of 64 bytes")
        self.owed = []

    def __dealloc__(self):
        cdef int64_t i
        cdef Slot *slot
        if self.c == NULL or self.c.foreign():
            return
        # Whoever takes a batch over, or recycles it, clears the slot.
        for i in range(self.c.capacity()):
            slot = self.c.at(i)
            if slot.batch != NULL:
                if slot.kind == SLOT_OPEN:
                    (<OpenBatch *>slot.note).release()
                batch_release(<BatchC *>slot.batch)
            if slot.kind == SLOT_FAULT:
                free(slot.note)
        RingC.destroy(self.c)

    @property
    def capacity(self):
        """How many slots there are."""
        return self.c.capacity()

    @property
    def depth(self):
        """How many slots are claimed and not yet passed by the slowest reader."""
        return self.c.depth()

    @property
    def closed(self):
        """Whether close() was called."""
        return self.c.closed()

    def join(self):
        """A new reader's number. All readers join before the first claim."""
        cdef int reader = self.c.join()
        if reader < 0:
            raise ValueError("a ring has at most 64 readers")
        return reader

    def claim(self, int64_t n=1, *, timeout=0.0):
        """The first of `n` sequences; None when the ring stayed full for `timeout` seconds; -1 when closed."""
        cdef int64_t first
        if not 1 <= n <= self.c.capacity():
            raise ValueError(f"cannot claim {n} slots at once of a ring of {self.c.capacity()}")
        first = claim_blocking(self.c, n, nanoseconds(timeout))
        if first == RING_FULL:
            return None
        return -1 if first == RING_CLOSED else first

    def publish(self, int64_t sequence):
        """Shows the claimed slot `sequence` to the readers, as it is (a slot that says nothing)."""
        if not 0 <= sequence < self.c.claimed():
            raise ValueError(f"slot {sequence} was not claimed")
        self.c.publish(sequence)

    def wait(self, int reader, *, timeout=0.0):
        """How many slots the reader can read now; 0 after `timeout` seconds; -1: closed and all read."""
        cdef int64_t n, limit = nanoseconds(timeout)
        self._check(reader)
        with nogil:
            n = self.c.wait(reader, limit)
        return -1 if n == RING_CLOSED else n

    def advance(self, int reader, int64_t n):
        """The reader has done with its next `n` slots."""
        self._check(reader)
        if not 0 <= n <= self.c.claimed() - self.c.position(reader):
            raise ValueError(f"reader {reader} cannot pass {n} slots: so many were not claimed")
        self.c.advance(reader, n)

    cdef int remember(self, int64_t first, int64_t n) except -1:
        """`n` slots from `first` on have just been claimed by this thread (see `settle`)."""
        cdef list still
        if first < 0 or PyThread_get_thread_ident() != interruptible:
            return 0
        if self.owed:
            still = []
            for claim in self.owed:
                if not self._paid(claim[0], claim[1]):
                    still.append(claim)
            self.owed = still
        self.owed.append((first, n))
        return 0

    cdef bint _paid(self, int64_t first, int64_t n):
        cdef int64_t i
        for i in range(first, first + n):
            if not self.c.published(i):
                return False
        return True

    def settle(self):
        """Publishes, as slots that say nothing, what this thread has claimed by claim_slots or try_claim_slot and has not
        published, and returns their number: for whoever was interrupted. Does nothing in another thread than the main one.
        """
        cdef int64_t i, first, count, settled = 0
        cdef Slot *slot
        # The thread first: without the GIL, `owed` is for no other to look at.
        if PyThread_get_thread_ident() != interruptible or not self.owed:
            return 0
        for first, count in self.owed:
            for i in range(first, first + count):
                if not self.c.published(i):
                    slot = self.c.at(i)
                    slot.kind = SLOT_NOTHING
                    slot.batch = NULL
                    slot.note = NULL
                    self.c.publish(i)
                    settled += 1
        self.owed = []
        return settled

    def close(self):
        """No further claim succeeds; everybody wakes; what is published can still be read."""
        self.c.close()

    cdef int _check(self, int reader) except -1:
        if not 0 <= reader < self.c.readers():
            raise ValueError(f"there is no reader {reader}")
        return 0
