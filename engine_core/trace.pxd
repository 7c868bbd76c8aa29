"""Trace: which rows a thread has mapped to which positions, as a tree whose branches are shared.

A node is one row; its parent is the recorded row before it. Threads that part ways share all that came before, so a step
costs one node per thread and never a copy. Nodes are counted by their children and by the threads and candidates that end
in them, and go as soon as nobody holds them. A parent's row is always smaller than its children's.
"""
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, realloc

cdef enum:
    NO_NODE = -1

cdef struct Node:
    int32_t parent              # NO_NODE: the first recorded row; of a free node: the next free one
    int32_t row                 # of the history; of a free node -1
    int32_t position            # of the automaton
    int32_t references

cdef struct Trace:
    Node *nodes
    int32_t n                   # nodes so far, free ones included
    int32_t room
    int32_t spare               # the first free one, or NO_NODE

cdef inline void trace_free(Trace *t) noexcept nogil:
    free(t.nodes)
    t.nodes = NULL
    t.n = t.room = 0
    t.spare = NO_NODE

cdef inline int32_t trace_add(Trace *t, int32_t parent, int32_t row, int32_t position) noexcept nogil:
    """A node below `parent`, held once by the caller; NO_NODE: no memory."""
    cdef int32_t at = t.spare
    cdef int64_t room
    cdef void *p
    if at >= 0:
        t.spare = t.nodes[at].parent
    else:
        if t.n == t.room:
            room = 2 * <int64_t>t.room + 64
            if room > 0x7fffffff:
                return NO_NODE
            p = realloc(t.nodes, room * sizeof(Node))
            if p == NULL:
                return NO_NODE
            t.nodes = <Node *>p
            t.room = <int32_t>room
        at = t.n
        t.n += 1
    if parent >= 0:
        t.nodes[parent].references += 1
    t.nodes[at].parent = parent
    t.nodes[at].row = row
    t.nodes[at].position = position
    t.nodes[at].references = 1
    return at

cdef inline void trace_hold(Trace *t, int32_t node) noexcept nogil:
    if node >= 0:
        t.nodes[node].references += 1

cdef inline void trace_drop(Trace *t, int32_t node) noexcept nogil:
    """Lets go of a node, and of those above it that nobody else holds."""
    cdef int32_t parent
    while node >= 0:
        t.nodes[node].references -= 1
        if t.nodes[node].references > 0:
            return
        parent = t.nodes[node].parent
        t.nodes[node].parent = t.spare
        t.nodes[node].row = -1
        t.spare = node
        node = parent
