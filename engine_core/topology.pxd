"""Who listens to whom: Node (one trigger's operator), Routes (one immutable version of the whole)."""
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t
from .operator cimport Operator
from .pool cimport PoolC

cdef struct NodeC:
    PyObject *operation     # an Operator, borrowed: its Node keeps it
    PyObject **instances    # of all workers; operation is the first
    int32_t n_instances
    int32_t spread          # operator.Spread
    int32_t owner           # SPREAD_WHOLE: the worker that runs it
    bint unordered          # what several workers found goes out as it is, without a merge
    int32_t id              # the trigger's source id: what its matches are a stream under
    int32_t timed           # its order is its stream's event time: it may be told the watermark
    bint placed             # what it finds ends with columns that say where it lies
    int64_t emitted         # matches so far = sequence of the next one; the shard's thread only

cdef struct RoutesC:
    int32_t n_sources
    int32_t n_roots
    int32_t n_nodes
    int32_t depth           # longest chain of triggers
    int32_t *roots          # n_roots source ids that are streams (nobody's output)
    int32_t *first          # n_sources + 1: listeners of source s are nodes[first[s]] .. nodes[first[s + 1] - 1]
    NodeC **nodes           # n_nodes
    int32_t n_workers       # the most instances that a node has
    PoolC **pools           # of worker w's instances on source s (w * n_sources + s), if two or more share one; else NULL


cdef class Node:
    cdef NodeC c
    cdef readonly Operator operator
    cdef readonly tuple operators
    cdef readonly int source


cdef class Routes:
    cdef RoutesC c
    cdef tuple keep
    cdef list pools
    cdef int _share(self, int32_t source, int worker, list listeners) except -1
