"""Topology: which operators a batch of a source goes through, as a flat table that a shard reads without the GIL.

A *source* is a stream or a trigger (its matches are a stream too); both share one run of small numbers, the
source ids. `Routes` is one immutable version of the table; adding or removing a trigger makes a new version,
which a control slot brings to the shard: so it takes effect at an exact place between two batches, on every
shard the same. What changes from batch to batch (how many matches a trigger has emitted) lies in the `Node`,
which the versions share and only the shard's thread touches.

    first      [0, 2, 2, 3]              source 0 has listeners nodes[0], nodes[1]; source 2 has nodes[2]
    nodes      [a, b, c]                 a and b listen to stream 0; c to trigger a, whose source id is 2
    roots      [0]

Order: a trigger is added after its source, so the table has no circle; `walk` goes depth first: a trigger's matches
reach the triggers on it before the next trigger of the same source sees the batch.

Sharing: the listeners of one source that can (filters) join one ConditionPool when they first appear in a table; it
is theirs from then on, through all later versions. A table says of a source which pool that is, if two or more are in it.

Ownership: Routes keeps its Nodes, a Node its Operator. Whoever hands Routes to a shard keeps them until the shard
has answered the control slot that brought the next version. Limits: CHAIN_MAX triggers upon triggers (the walk
recurses), 2^31 source ids.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free, malloc

from .operator cimport SPREAD_WHOLE, Operator
from .pool cimport ConditionPool, PoolC

CHAIN_MAX = 200


cdef class Node:
    """One trigger in a topology: `operator` reads source `source`; its matches are source `id`.

    operator: or a list of them, one a worker, if it is to be run by partition.  timed: the operator is ordered by the event
    time of its stream and is told its watermark.  owner: the worker that runs an operator which has to see everything.
    ordered: what several workers found is merged into one order.  emitted: how many matches it has found already, before
    the state that its operators have.  placed: the last PLACES columns of what they find say where it lies (batch.pxd).
    """
    def __cinit__(self, int id, int source, operator not None, *, bint timed=False, int owner=0,
                  bint ordered=True, int64_t emitted=0, bint placed=False):
        cdef int i
        cdef Operator one
        if id < 0 or source < 0 or id == source:
            raise ValueError(f"a node cannot have id {id} and source {source}")
        self.operators = tuple(operator) if isinstance(operator, (list, tuple)) else (operator,)
        if not self.operators:
            raise ValueError("a node needs an operator")
        self.operator = self.operators[0]
        self.source = source
        self.c.operation = <PyObject *>self.operator
        self.c.n_instances = len(self.operators)
        self.c.instances = <PyObject **>calloc(self.c.n_instances, sizeof(PyObject *))
        if self.c.instances == NULL:
            raise MemoryError("no memory for a trigger")
        for i in range(self.c.n_instances):
            one = self.operators[i]
            one.join(None)          # a place of its own: what it shared elsewhere it shares no longer
            self.c.instances[i] = <PyObject *>one
        # Of an operator that only has one instance, that one has to see everything.
        self.c.spread = self.operator.spread
        if self.c.n_instances == 1:
            self.c.spread = SPREAD_WHOLE
        self.c.owner = owner
        self.c.unordered = not ordered
        self.c.id = id
        self.c.timed = timed
        self.c.emitted = emitted
        self.c.placed = placed

    def __dealloc__(self):
        free(self.c.instances)

    @property
    def owner(self):
        """The worker that runs it, where one runs it alone."""
        return self.c.owner

    @property
    def id(self):
        """The source id of its matches."""
        return self.c.id


cdef class Routes:
    """One version of the table: `n_sources` source ids, of which `nodes` are triggers and the rest streams.

    Raises ValueError for a node whose source does not come before it in `nodes` or is no source, and for chains of
    more than CHAIN_MAX triggers upon triggers.
    """
    def __cinit__(self, int n_sources, nodes):
        cdef Node node
        cdef int32_t i, k, place
        cdef dict depth = {}
        cdef list listeners = [[] for _ in range(n_sources)]
        for node in nodes:
            if not 0 <= node.c.id < n_sources or not 0 <= node.source < n_sources or node.c.id in depth:
                raise ValueError(f"node {node.c.id} on source {node.source} does not fit {n_sources} sources")
            depth[node.c.id] = depth.get(node.source, 0) + 1
            if depth[node.c.id] > CHAIN_MAX:
                raise ValueError(f"more than {CHAIN_MAX} triggers upon triggers")
            if listeners[node.c.id]:
                raise ValueError(f"node {node.c.id} comes after a node that listens to it")
            listeners[node.source].append(node)
        self.keep = tuple(nodes)
        self.pools = []
        self.c.n_sources = n_sources
        self.c.n_nodes = <int32_t>len(self.keep)
        self.c.n_roots = n_sources - self.c.n_nodes
        self.c.depth = max(depth.values(), default=0)
        self.c.first = <int32_t *>malloc((n_sources + 1) * sizeof(int32_t))
        self.c.roots = <int32_t *>malloc((self.c.n_roots + 1) * sizeof(int32_t))
        self.c.nodes = <NodeC **>malloc((self.c.n_nodes + 1) * sizeof(NodeC *))
        self.c.n_workers = max([len(node.operators) for node in self.keep], default=1)
        self.c.pools = <PoolC **>calloc(n_sources * self.c.n_workers + 1, sizeof(PoolC *))
        if self.c.first == NULL or self.c.roots == NULL or self.c.nodes == NULL or self.c.pools == NULL:
            raise MemoryError("no memory for the table of triggers")
        place = 0
        for i in range(n_sources):
            self.c.first[i] = place
            for k in range(self.c.n_workers):
                self._share(i, k, listeners[i])
            for node in listeners[i]:
                self.c.nodes[place] = &node.c
                place += 1
        self.c.first[n_sources] = place
        place = 0
        for i in range(n_sources):
            if i not in depth:
                self.c.roots[place] = i
                place += 1

    cdef int _share(self, int32_t source, int worker, list listeners) except -1:
        """The worker's instances of the listeners find what they have in common."""
        cdef Node node
        cdef Operator operator
        cdef ConditionPool pool = None
        cdef int members = 0
        cdef list operators = [node.operators[worker] for node in listeners if worker < len(node.operators)]
        if not operators:
            return 0
        for operator in operators:      # who listened before has the pool, and may be running: it is left alone
            if operator.pool is not None:
                pool = operator.pool
                break
        if pool is None:
            pool = ConditionPool()
        for operator in operators:
            members += operator.join(pool)
        if members > 1:
            self.pools.append(pool)
            self.c.pools[worker * self.c.n_sources + source] = &pool.c
        return 0

    def __dealloc__(self):
        free(self.c.first)
        free(self.c.roots)
        free(self.c.nodes)
        free(self.c.pools)
