"""Counter: a count that several threads may add to, and any may read (gauge.hpp says how).

`n += 1` on an attribute is three steps, between which another thread may come, with the GIL as without it.
"""
from libc.stdint cimport int64_t


cdef class Counter:
    """Counts what happens, from any thread.

    >>> calls = Counter()
    >>> calls.add()
    >>> calls.add(2)
    >>> calls.value
    3
    """

    def add(self, int64_t n=1):
        """Adds `n`."""
        self.gauge.add(n)

    @property
    def value(self):
        """The sum so far (int)."""
        return self.gauge.get()

    def __repr__(self):
        return f"Counter({self.gauge.get()})"
