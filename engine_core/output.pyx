"""From leaf values to the columns of the result.

What        the matcher appends one row of leaf values per match (or per row of a match); here they become a batch: a measure
            that is a leaf is handed over as it is, any other is computed from the leaves by an expression program,
            column-wise. Of a row that is of no match every computed measure is NULL.
Faults      a measure may fault (LAST(x) - FIRST(x) beyond 64 bits). Its match is taken out, with all its rows, and
            reported; the others are kept and come with the next `take`.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from .batch cimport BatchC
from .builder cimport (OutColumn, out_export, out_free, out_init, out_push_bytes, out_push_f64, out_push_i64,
                       out_push_null, out_remove)
from .column cimport KIND_I64, KIND_U8, KIND_U16, KIND_U32, KIND_UTF8, Column, bit_get
from .expression cimport Program
from .registers cimport CHUNK, TYPE_BOOL, TYPE_F64, TYPE_STR, Input, Vec
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_TIME_RANGE, Fault, fault_set
from .vector cimport Str


cdef void view(Column *c, const OutColumn *o) noexcept nogil:
    """An output column as an input column; valid while `o` does not grow."""
    memset(c, 0, sizeof(Column))
    c.kind = o.kind
    c.width = o.width
    c.length = o.length
    c.null_count = o.null_count
    c.validity = o.validity if o.null_count else NULL
    c.values = o.values
    if o.kind == KIND_UTF8:
        c.offsets = <const uint8_t *>o.offsets
        c.data = o.values


cdef inline bint fits(const OutColumn *o, int64_t value) noexcept nogil:
    """Whether a computed integer fits its output column (a date of 32 bits, say); 64-bit columns take all."""
    cdef int64_t half
    if o.width == 0 or o.width >= 8:
        return True
    half = <int64_t>1 << (8 * o.width - 1)
    if o.kind == KIND_U8 or o.kind == KIND_U16 or o.kind == KIND_U32:
        return 0 <= value < 2 * half
    return -half <= value < half


cdef int vector_append(OutColumn *o, const Vec *r, int type, int64_t n, int64_t start, int item,
                       Fault *fault) noexcept nogil:
    cdef int64_t i
    cdef int status = STATUS_OK
    for i in range(n):
        if r.valid != NULL and not r.valid[i]:
            status = out_push_null(o)
        elif type == TYPE_F64:
            status = out_push_f64(o, (<double *>r.data)[i])
        elif type == TYPE_BOOL:
            status = out_push_i64(o, (<uint8_t *>r.data)[i])
        elif type == TYPE_STR:
            status = out_push_bytes(o, (<Str *>r.data)[i].data, (<Str *>r.data)[i].size)
        elif not fits(o, (<int64_t *>r.data)[i]):
            return fault_set(fault, STATUS_TIME_RANGE, start + i, item, (<int64_t *>r.data)[i], 0, NULL)
        else:
            status = out_push_i64(o, (<int64_t *>r.data)[i])
        if status != STATUS_OK:
            return status
    return STATUS_OK


@cython.no_gc_clear     # __dealloc__ needs the program: the collector must not have taken it away by then
cdef class Output:
    """The result's columns.

    Args:
        program: computes the measures that are more than a leaf; its inputs are the leaves `leaf_of_input`.
        leaf_of_input: leaf number per input.
        leaves: (Kind, width) per leaf column; of lists (KIND_LIST + 256 * Kind, width) of the values.
        columns: per result column (leaf, -1, 0, 0) or (-1, program result, Kind, width). A leaf is handed over once.
        match_leaf: an int64 leaf by which rows of one match, which stand together, are told from those of another; NULL
            in a row that is of no match. -1: every row is a match of its own.
    """

    def __cinit__(self, Program program, list leaf_of_input, list leaves, list columns, int match_leaf=-1):
        cdef int i
        cdef set handed = set()
        self.program = program
        self.n_leaves = len(leaves)
        self.n_columns = len(columns)
        self.inputs = <Input *>calloc(len(leaf_of_input) + 1, sizeof(Input))
        self.leaf_of_input = <int32_t *>calloc(len(leaf_of_input) + 1, sizeof(int32_t))
        self.columns = <OutputColumn *>calloc(self.n_columns + 1, sizeof(OutputColumn))
        self.leaves = <OutColumn *>calloc(self.n_leaves + 1, sizeof(OutColumn))
        self.leaf_kinds = <int32_t *>calloc(self.n_leaves + 1, sizeof(int32_t))
        self.leaf_widths = <int32_t *>calloc(self.n_leaves + 1, sizeof(int32_t))
        if (self.inputs == NULL or self.leaf_of_input == NULL or self.columns == NULL or self.leaves == NULL
                or self.leaf_kinds == NULL or self.leaf_widths == NULL):
            raise MemoryError("no memory for the output")
        if len(leaf_of_input) != program.n_inputs:
            raise ValueError("the program has another number of inputs")
        for i in range(program.n_inputs):
            self.leaf_of_input[i] = leaf_of_input[i]
            if not 0 <= self.leaf_of_input[i] < self.n_leaves:
                raise ValueError(f"input {i} has no leaf {leaf_of_input[i]}")
        for i in range(self.n_columns):
            self.columns[i].leaf, self.columns[i].result, self.columns[i].kind, self.columns[i].width = columns[i]
            if self.columns[i].leaf >= 0:
                if self.columns[i].leaf >= self.n_leaves or self.columns[i].leaf in handed:
                    raise ValueError(f"column {i} cannot take leaf {self.columns[i].leaf}")
                handed.add(self.columns[i].leaf)
            elif not 0 <= self.columns[i].result < program.n_results:
                raise ValueError(f"column {i} has no result {self.columns[i].result}")
        for i in range(self.n_leaves):
            self.leaf_kinds[i], self.leaf_widths[i] = leaves[i]
            out_init(&self.leaves[i], self.leaf_kinds[i], self.leaf_widths[i])
        self.match_leaf = match_leaf
        if not -1 <= match_leaf < self.n_leaves or (match_leaf >= 0 and self.leaf_kinds[match_leaf] != KIND_I64):
            raise ValueError(f"leaf {match_leaf} cannot tell matches apart")
        if program.frame_init(&self.frame) != STATUS_OK:
            raise MemoryError("no memory for the output")
        self.framed = True

    def __dealloc__(self):
        cdef int i
        if self.framed:
            self.program.frame_free(&self.frame)
        if self.leaves != NULL:
            for i in range(self.n_leaves):
                out_free(&self.leaves[i])
        free(self.inputs)
        free(self.leaf_of_input)
        free(self.columns)
        free(self.leaves)
        free(self.leaf_kinds)
        free(self.leaf_widths)

    cdef int64_t waiting(self) noexcept nogil:
        return self.leaves[0].length if self.n_leaves else 0

    cdef void layout(self, int column, int32_t *kind, int32_t *width) noexcept nogil:
        cdef const OutputColumn *c = &self.columns[column]
        kind[0] = self.leaf_kinds[c.leaf] if c.leaf >= 0 else c.kind
        width[0] = self.leaf_widths[c.leaf] if c.leaf >= 0 else c.width

    cdef void _remove(self, int64_t row) noexcept nogil:
        """Takes the row's match out of every leaf column."""
        cdef int i
        cdef int64_t start = row, stop = row + 1
        cdef const int64_t *match
        if self.match_leaf >= 0:
            match = <const int64_t *>self.leaves[self.match_leaf].values
            while start > 0 and match[start - 1] == match[row] and not self._of_none(start - 1):
                start -= 1
            while stop < self.waiting() and match[stop] == match[row] and not self._of_none(stop):
                stop += 1
        for i in range(self.n_leaves):
            out_remove(&self.leaves[i], start, stop)

    cdef bint _of_none(self, int64_t row) noexcept nogil:
        cdef const OutColumn *match = &self.leaves[self.match_leaf]
        return match.validity != NULL and not bit_get(match.validity, row)

    cdef int _run(self, OutColumn *results, int64_t start, int64_t n, Fault *fault) noexcept nogil:
        """At most CHUNK rows through the program."""
        cdef int i, register
        cdef int status = self.program.run(&self.frame, self.inputs, start, n, fault)
        for i in range(self.n_columns):
            if status == STATUS_OK and self.columns[i].leaf < 0:
                register = self.program.results[self.columns[i].result]
                status = vector_append(&results[i], &self.frame.registers[register], self.program.types[register], n, start,
                                       self.columns[i].result, fault)
        return status

    cdef int _compute(self, Column *views, OutColumn *results, int64_t n, Fault *fault) noexcept nogil:
        cdef int i, status
        cdef int64_t start = 0, size, k, _k
        cdef bint none = False
        for i in range(self.n_leaves):
            view(&views[i], &self.leaves[i])
        for i in range(self.program.n_inputs):
            self.inputs[i].column = &views[self.leaf_of_input[i]]
        status = self.program.prepare(&self.frame, self.inputs, n)
        if status != STATUS_OK:
            return status
        while start < n:
            size = n - start if n - start < CHUNK else CHUNK
            if self.match_leaf >= 0 and self.leaves[self.match_leaf].null_count:
                # Rows of no match have no measures: not even a constant one, and no fault either.
                none = self._of_none(start)
                k = 1
                while k < size and self._of_none(start + k) == none:
                    k += 1
                size = k
            if none:
                for i in range(self.n_columns):
                    for _k in range(size if self.columns[i].leaf < 0 else 0):
                        if out_push_null(&results[i]) != STATUS_OK:
                            return STATUS_NO_MEMORY
            else:
                status = self._run(results, start, size, fault)
                if status != STATUS_OK:
                    return status
            start += size
        return STATUS_OK

    cdef int take(self, BatchC **out, Fault *fault) noexcept nogil:
        cdef int64_t n = self.waiting()
        cdef int i, status = STATUS_OK
        cdef OutColumn *results
        cdef Column *views
        out[0] = NULL
        if n == 0:
            return STATUS_OK
        results = <OutColumn *>calloc(self.n_columns + 1, sizeof(OutColumn))
        views = <Column *>calloc(self.n_leaves + 1, sizeof(Column))
        if results == NULL or views == NULL:
            free(results)
            free(views)
            return STATUS_NO_MEMORY
        for i in range(self.n_columns):
            if self.columns[i].leaf < 0:
                out_init(&results[i], self.columns[i].kind, self.columns[i].width)
        if self.program.n_results:
            status = self._compute(views, results, n, fault)
            if status != STATUS_OK:
                for i in range(self.n_columns):
                    out_free(&results[i])
                free(results)
                free(views)
                if fault.code == status and fault.row >= 0:
                    self._remove(fault.row)
                return status
        for i in range(self.n_columns):
            if self.columns[i].leaf >= 0:
                results[i] = self.leaves[self.columns[i].leaf]
                memset(&self.leaves[self.columns[i].leaf], 0, sizeof(OutColumn))
        for i in range(self.n_leaves):
            out_free(&self.leaves[i])
            out_init(&self.leaves[i], self.leaf_kinds[i], self.leaf_widths[i])
        out[0] = out_export(results, self.n_columns, n)
        if out[0] == NULL:
            status = STATUS_NO_MEMORY
            for i in range(self.n_columns):
                out_free(&results[i])
        free(results)
        free(views)
        return status
