"""Arguments of aggregates that are more than a column, worked out over the rows of one match.

What        SUM(A.price * A.size): the aggregate is over the rows of A in the match, and only in these may the product fault.
            So the expressions are grouped by the variables whose rows they are over; each group is one program.
Flow        rows of the match that are of the group's variables -> a chunk of them gathered out of the History's columns
            (and CLASSIFIER, MATCH_NUMBER) -> the program -> `values`, which the aggregates then read row by row.
Cost        that of the program per row, and about 10 ns per row and input to gather; memory: the values of one match.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

from .builder cimport OutColumn, out_free, out_gather, out_init, out_push_i64, out_truncate, out_view
from .column cimport KIND_I64, KIND_UTF8, Column
from .expression cimport Program
from .output cimport vector_append
from .registers cimport CHUNK, TYPE_I64, TYPE_STR, Input
from .status cimport STATUS_OK, Fault


@cython.no_gc_clear     # __dealloc__ needs the program
cdef class ArgumentGroup:
    """Expressions over the rows of the same variables.

    Args:
        variables: bit mask of them.
        program: its results are the arguments.
        sources: per input of the program a column of the History, or -2 (CLASSIFIER), -3 (MATCH_NUMBER).
        layouts: (Kind, width) per result, as which its values are kept.
        n_columns: how many columns the History has.
        next: the group behind this one, or None.

    Raises:
        ValueError: a number is out of range.
    """

    def __cinit__(self, variables, Program program, list sources, list layouts, int n_columns, ArgumentGroup next):
        cdef int i
        self.variables = variables
        self.program = program
        self.next = next
        if len(sources) != program.n_inputs or len(layouts) != program.n_results:
            raise ValueError("the program has another number of inputs or results")
        self.sources = <int32_t *>calloc(program.n_inputs + 1, sizeof(int32_t))
        self.inputs = <Input *>calloc(program.n_inputs + 1, sizeof(Input))
        self.views = <Column *>calloc(program.n_inputs + 1, sizeof(Column))
        self.gathered = <OutColumn *>calloc(program.n_inputs + 1, sizeof(OutColumn))
        self.values = <OutColumn *>calloc(program.n_results + 1, sizeof(OutColumn))
        self.chosen = <int32_t *>calloc(CHUNK, sizeof(int32_t))
        self.chosen_labels = <int32_t *>calloc(CHUNK, sizeof(int32_t))
        if (self.sources == NULL or self.inputs == NULL or self.views == NULL or self.gathered == NULL
                or self.values == NULL or self.chosen == NULL or self.chosen_labels == NULL
                or program.frame_init(&self.frame) != STATUS_OK):
            raise MemoryError("no memory for the arguments of aggregates")
        self.framed = True
        for i in range(program.n_inputs):
            self.sources[i] = sources[i]
            if self.sources[i] == INPUT_CLASSIFIER:
                fits = program.input_types[i] == TYPE_STR
            elif self.sources[i] == INPUT_MATCH_NUMBER:
                fits = program.input_types[i] == TYPE_I64
            else:
                fits = 0 <= self.sources[i] < n_columns
            if not fits:
                raise ValueError(f"input {i} of an argument cannot be {sources[i]}")
            self.inputs[i].column = &self.views[i]
            out_init(&self.gathered[i], KIND_UTF8 if self.sources[i] == INPUT_CLASSIFIER else KIND_I64, 0)
        for i in range(program.n_results):
            kind, width = layouts[i]
            out_init(&self.values[i], kind, width)

    def __dealloc__(self):
        cdef int i
        if self.framed:
            for i in range(self.program.n_inputs):
                out_free(&self.gathered[i])
            for i in range(self.program.n_results):
                out_free(&self.values[i])
            self.program.frame_free(&self.frame)
        free(self.sources)
        free(self.inputs)
        free(self.views)
        free(self.gathered)
        free(self.values)
        free(self.chosen)
        free(self.chosen_labels)

    cdef int _chunk(self, const LabelledRows *match, int64_t n, Fault *fault) noexcept nogil:
        """The first n rows of `chosen`, all of the group's variables."""
        cdef int i, register, status
        cdef int64_t k
        cdef const OutColumn *column
        cdef OutColumn *gathered
        cdef Column source
        for i in range(self.program.n_inputs):
            gathered = &self.gathered[i]
            out_truncate(gathered, 0)
            status = STATUS_OK
            if self.sources[i] == INPUT_MATCH_NUMBER:
                for k in range(n):
                    status = status or out_push_i64(gathered, match.number)
            elif self.sources[i] == INPUT_CLASSIFIER:
                out_view(match.names, &source)
                status = out_gather(gathered, &source, self.chosen_labels, n)
            else:
                column = &match.history.columns[self.sources[i]]
                if gathered.kind != column.kind or gathered.width != column.width:
                    out_free(gathered)
                    out_init(gathered, column.kind, column.width)
                status = out_gather(gathered, &match.history.views[self.sources[i]], self.chosen, n)
            if status != STATUS_OK:
                return status
            out_view(gathered, &self.views[i])
        status = self.program.prepare(&self.frame, self.inputs, n)
        if status == STATUS_OK:
            status = self.program.run(&self.frame, self.inputs, 0, n, fault)
        for i in range(self.program.n_results):
            if status == STATUS_OK:
                register = self.program.results[i]
                status = vector_append(&self.values[i], &self.frame.registers[register], self.program.types[register], n, 0,
                                       i, fault)
        return status

    cdef int run(self, const LabelledRows *match, int base, Fault *fault) noexcept nogil:
        cdef int64_t i, n = 0
        cdef int k, status = STATUS_OK
        for k in range(self.program.n_results):
            out_truncate(&self.values[k], 0)
        for i in range(match.n):
            if (self.variables >> match.labels[i]) & 1:
                self.chosen[n] = match.rows[i]
                self.chosen_labels[n] = match.labels[i]
                n += 1
            if n == CHUNK or (i == match.n - 1 and n > 0):
                status = self._chunk(match, n, fault)
                if status != STATUS_OK:
                    fault.row = -1
                    fault.item += base
                    return status
                n = 0
        if self.next is not None:
            return self.next.run(match, base + self.program.n_results, fault)
        return STATUS_OK
