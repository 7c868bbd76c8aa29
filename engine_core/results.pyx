"""Results: from finished matches, whose rows are labelled, to batches of matches.

What        ONE ROW PER MATCH: a row of leaf values per match; ALL ROWS PER MATCH: one per row of it that is not excluded,
            with RUNNING values, and one for a row of no match, if those are asked for. A leaf is what a measure reads of a
            match (ir.Leaf); Output then makes the measures of the leaves, and a batch.
Flow        add: labels (position -> variable), arguments that are expressions (`arguments`), then leaf by leaf all values
            of the match, each into its column. take: once per batch.
Running     FIRST, LAST and aggregates go once over the rows of the match and say after each row that is shown what they
            have by then: an accumulator moves on, LAST(x, k) looks k back in the list of the rows met so far. So a leaf
            costs the length of the match, not its square. (ARRAY_AGG alone is as long as what it gives.)
Recorded    what is asked of the first and the last row and of the length comes with the match; only for other leaves
            must rows be recorded: `recorded`, `every`.
Invariants  every leaf column has the same length between calls; a match that faults leaves nothing behind.
            Row numbers that the matcher hands over are in the History; numbers of columns are checked at construction.
Cost        per match and leaf of the first or last row about 10 ns; per row of the match and other leaf 2 to 6 ns.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from .aggregate cimport (AGG_COUNT_ROWS, N_FUNCTIONS, Accumulator, Datum, accumulator_add, accumulator_value, datum_read,
                         out_valid, text_at)
from .arguments cimport ArgumentGroup
from .batch cimport BatchC
from .builder cimport (OutColumn, out_free, out_gather, out_init, out_push_bytes, out_push_f64, out_push_i64, out_push_list,
                       out_push_null, out_push_word, out_reserve, out_truncate)
from .column cimport (KIND_F16, KIND_F32, KIND_F64, KIND_FIXED, KIND_I64, KIND_U64, KIND_BOOL, KIND_UTF8, bit_get,
                      half_to_double, index_read)
from .history cimport NO_ROW, History, history_walk, ROW_UNKNOWN
from .keymap cimport KeyMap, keymap_emit
from .operator cimport STAGE_RESULT
from .registers cimport TYPE_F64, TYPE_STR
from .status cimport (STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK, STATUS_OVERFLOW, STATUS_TYPE, Fault,
                      fault_set)
from .vector cimport Str

cdef enum:
    GATHER_MIN = 4              # rows from which on a gather pays

KINDS = {"first": RESULT_FIRST, "last": RESULT_LAST, "match_number": RESULT_MATCH_NUMBER, "length": RESULT_LENGTH,
         "aggregate": RESULT_AGGREGATE, "list": RESULT_LIST, "key": RESULT_KEY, "row": RESULT_ROW,
         "first_sequence": RESULT_FIRST_SEQUENCE, "last_sequence": RESULT_LAST_SEQUENCE, "match": RESULT_MATCH,
         "settled": RESULT_SETTLED, "turn": RESULT_TURN}
SOURCES = {"none": FROM_NONE, "history": FROM_HISTORY, "classifier": FROM_CLASSIFIER, "group": FROM_GROUP}


# ---------------------------------------------------------------- one value to its column

cdef int copy_value(OutColumn *out, const OutColumn *source, int64_t row) noexcept nogil:
    """A row of a column as it stands. The kinds are the same, or floats of different widths."""
    cdef Str text
    if not out_valid(source, row):
        return out_push_null(out)
    if source.kind == KIND_I64 or source.kind == KIND_U64:
        return out_push_word(out, (<const int64_t *>source.values)[row])
    if source.kind == KIND_F64:
        return out_push_f64(out, (<const double *>source.values)[row])
    if source.kind == KIND_UTF8:
        text_at(source, row, &text)
        return out_push_bytes(out, text.data, text.size)
    if source.kind == KIND_F32:
        return out_push_f64(out, (<const float *>source.values)[row])
    if source.kind == KIND_F16:
        return out_push_f64(out, half_to_double((<const unsigned short *>source.values)[row]))
    if source.kind == KIND_FIXED:
        return out_push_bytes(out, source.values + row * source.width, source.width)
    if source.kind == KIND_BOOL:
        return out_push_i64(out, bit_get(source.values, row))
    return out_push_i64(out, index_read(source.kind, source.values, row))


cdef int put(OutColumn *out, const Datum *value, int64_t times) noexcept nogil:
    """A value, `times` rows. A value with a column is that row of it, whatever its type."""
    cdef int status = STATUS_OK
    cdef double real
    while times > 0 and status == STATUS_OK:
        if not value.valid:
            status = out_push_null(out)
        elif value.column != NULL:
            status = copy_value(out, value.column, value.row)
        elif value.type == TYPE_F64:
            memcpy(&real, &value.word, 8)
            status = out_push_f64(out, real)
        else:
            status = out_push_word(out, <int64_t>value.word)
        times -= 1
    return status


cdef inline int put_word(OutColumn *out, int64_t word, int64_t times) noexcept nogil:
    cdef int status = out_push_word(out, word)
    while times > 1 and status == STATUS_OK:
        status = out_push_word(out, word)
        times -= 1
    return status


cdef inline void at_row(Datum *value, const OutColumn *column, int64_t row) noexcept nogil:
    value.column = column
    value.row = <int32_t>row
    value.valid = row >= 0


cdef int32_t label_of(const Showing *s, int32_t row) noexcept nogil:
    """The variable of a row, if it is of the match; else -1."""
    cdef int64_t low = 0, high = s.labelled.n, middle
    while low < high:
        middle = (low + high) >> 1
        if s.labelled.rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    if low < s.labelled.n and s.labelled.rows[low] == row:
        return s.labelled.labels[low]
    return -1


cdef inline bint is_of(const ResultLeaf *leaf, const Showing *s, int64_t i) noexcept nogil:
    return (leaf.variables >> s.labelled.labels[i]) & 1


cdef inline void argument_value(const Showing *s, const Argument *argument, int64_t i, int64_t k,
                                Datum *value) noexcept nogil:
    """An aggregate's argument in row i of the match, the k-th of the leaf's variables."""
    if argument.source == FROM_HISTORY:
        datum_read(value, argument.type, &s.labelled.history.columns[argument.number], s.labelled.rows[i])
    elif argument.source == FROM_GROUP:
        datum_read(value, argument.type, s.group_values[argument.number], k)
    elif argument.source == FROM_CLASSIFIER:
        datum_read(value, argument.type, s.labelled.names, s.labelled.labels[i])


# ---------------------------------------------------------------- the class

@cython.no_gc_clear     # __dealloc__ needs the parts
cdef class Results:
    """What finished matches become.

    Args:
        parts: a dict, all by number:
            output: Output, with as many leaf columns as there are leaves; groups: the first ArgumentGroup, or None;
            leaves: (KINDS number, AGGREGATES number, type, column, final, offset, physical, variables, arguments) each;
            arguments: up to two of (SOURCES number, number, type); leaf_names, computed_names: for messages;
            variables: of each position of the automaton; excluded: bool of each; names: of the variables, as bytes;
            n_keys, n_columns: of the partition, of the History; columns: what it reads of the input;
            all_rows, omit_empty: bool.

    Raises:
        ValueError: a number is out of range.
    """

    def __cinit__(self, dict parts):
        cdef int i
        cdef list leaves = parts["leaves"], names = parts["names"], variables = parts["variables"]
        cdef ResultLeaf *leaf
        cdef uint64_t all_variables = (1 << len(names)) - 1
        cdef int n_values
        cdef bytes name
        self.output = parts["output"]
        self.groups = parts["groups"]
        self.columns = parts["columns"]
        self.leaf_names = parts["leaf_names"]
        self.computed_names = parts["computed_names"]
        self.all_rows = parts["all_rows"]
        self.omit_empty = parts["omit_empty"]
        self.n_leaves = len(leaves)
        if self.n_leaves != self.output.n_leaves or self.n_leaves == 0 or len(self.leaf_names) != self.n_leaves:
            raise ValueError("the output has another number of leaves")
        if len(names) > 64 or len(parts["excluded"]) != len(variables):
            raise ValueError("at most 64 variables can be told apart, and every position is excluded or not")
        self.leaves = <ResultLeaf *>calloc(self.n_leaves, sizeof(ResultLeaf))
        self.variable_of = <int32_t *>calloc(len(variables) + 1, sizeof(int32_t))
        self.excluded = <uint8_t *>calloc(len(variables) + 1, 1)
        if self.leaves == NULL or self.variable_of == NULL or self.excluded == NULL:
            raise MemoryError("no memory for results")
        out_init(&self.names, KIND_UTF8, 0)
        for name in names:
            if out_push_bytes(&self.names, <const uint8_t *><const char *>name, len(name)) != STATUS_OK:
                raise MemoryError("no memory for results")
        for i in range(len(variables)):
            self.variable_of[i] = variables[i]
            self.excluded[i] = parts["excluded"][i]
            if not 0 <= self.variable_of[i] < len(names):
                raise ValueError(f"position {i} has no variable {variables[i]}")
        n_values = self._collect_values()
        for i in range(self.n_leaves):
            leaf = &self.leaves[i]
            (leaf.kind, leaf.function, leaf.type, leaf.column, leaf.final, leaf.offset, leaf.physical, leaf.variables,
             arguments) = leaves[i]
            if not 0 <= leaf.kind <= RESULT_TURN or not 0 <= leaf.function < N_FUNCTIONS or leaf.offset < 0:
                raise ValueError(f"leaf {i} has a number that is none")
            leaf.final = leaf.final or not self.all_rows
            leaf.whole = leaf.variables & all_variables == all_variables
            if leaf.kind == RESULT_KEY:
                fits = 0 <= leaf.column < parts["n_keys"]
            else:
                fits = leaf.kind != RESULT_ROW or 0 <= leaf.column < parts["n_columns"]
            if len(arguments) > 2 or not fits:
                raise ValueError(f"leaf {i} reads what is not there")
            for k, argument in enumerate(arguments):
                leaf.arguments[k].source, leaf.arguments[k].number, leaf.arguments[k].type = argument
            self._check_arguments(leaf, i, parts["n_columns"], n_values)
            self._need(leaf, all_variables)
        self.every = self.all_rows or self.recorded == all_variables
        self.showing.labelled.names = &self.names
        self.showing.group_values = self.group_values
        self.labels_needed = self.recorded != 0 or self.all_rows

    def __dealloc__(self):
        free(self.leaves)
        free(self.variable_of)
        free(self.excluded)
        out_free(&self.names)
        free(self.group_values)
        free(self.labels)
        free(self.shown)
        free(self.picked)

    cdef int _collect_values(self) except -1:
        """The columns of all groups in one table; returns how many."""
        cdef ArgumentGroup group = self.groups
        cdef int i, n = 0
        while group is not None:
            n += group.program.n_results
            group = group.next
        self.group_values = <OutColumn **>calloc(n + 1, sizeof(OutColumn *))
        if self.group_values == NULL:
            raise MemoryError("no memory for results")
        group = self.groups
        n = 0
        while group is not None:
            for i in range(group.program.n_results):
                self.group_values[n] = &group.values[i]
                n += 1
            group = group.next
        return n

    cdef int _check_arguments(self, const ResultLeaf *leaf, int i, int n_columns, int n_values) except -1:
        cdef int k
        cdef const Argument *argument
        cdef int wanted = 0
        if leaf.kind == RESULT_FIRST or leaf.kind == RESULT_LAST or leaf.kind == RESULT_LIST:
            wanted = 1
        elif leaf.kind == RESULT_AGGREGATE and leaf.function != AGG_COUNT_ROWS:
            wanted = 2 if leaf.function >= N_FUNCTIONS - 2 else 1
        for k in range(2):
            argument = &leaf.arguments[k]
            if argument.source == FROM_HISTORY:
                ok = 0 <= argument.number < n_columns
            elif argument.source == FROM_GROUP:
                ok = 0 <= argument.number < n_values and leaf.kind != RESULT_FIRST and leaf.kind != RESULT_LAST
            elif argument.source == FROM_CLASSIFIER:
                ok = argument.type == TYPE_STR
            else:
                ok = argument.source == FROM_NONE and k >= wanted
            if not ok:
                raise ValueError(f"argument {k} of leaf {i} is not there")
        return 0

    cdef int _need(self, const ResultLeaf *leaf, uint64_t all_variables) except -1:
        """What the matcher must record so that this leaf can be read."""
        cdef uint64_t read = 0
        if leaf.kind in (RESULT_AGGREGATE, RESULT_LIST):
            read = leaf.variables & all_variables
        elif leaf.kind in (RESULT_FIRST, RESULT_LAST):
            self.back = max(self.back, -leaf.physical)
            self.ahead = max(self.ahead, leaf.physical)
            if leaf.arguments[0].source == FROM_CLASSIFIER and leaf.physical:
                read = all_variables        # the row that it leads to may be of any
            elif not leaf.whole or leaf.offset or leaf.arguments[0].source == FROM_CLASSIFIER:
                read = leaf.variables & all_variables
        self.recorded |= read
        return 0

    # ------------------------------------------------------------ leaves

    cdef void _pick(self, const ResultLeaf *leaf, int64_t i, Datum *value) noexcept nogil:
        """FIRST's or LAST's value, if row i of the match is the one they mean."""
        cdef const Showing *s = &self.showing
        cdef int32_t row = s.labelled.rows[i]
        if leaf.arguments[0].source == FROM_CLASSIFIER:
            if leaf.physical:
                at_row(value, &self.names, label_of(s, history_walk(s.labelled.history, row, leaf.physical)))
            else:
                at_row(value, &self.names, s.labelled.labels[i])
            return
        if leaf.physical:
            row = history_walk(s.labelled.history, row, leaf.physical)
        at_row(value, &s.labelled.history.columns[leaf.arguments[0].number], row)

    cdef int _ends(self, const ResultLeaf *leaf, OutColumn *out) noexcept nogil:
        cdef const Showing *s = &self.showing
        cdef int64_t i, k = 0, count = 0
        cdef int32_t row
        cdef int status = STATUS_OK
        cdef Datum value
        value.valid = False
        value.column = NULL
        if leaf.final and leaf.whole and leaf.offset == 0 and leaf.arguments[0].source == FROM_HISTORY:
            row = s.match.first if leaf.kind == RESULT_FIRST else s.match.last
            if leaf.physical:
                row = history_walk(s.labelled.history, row, leaf.physical)
            if s.n_shown == 1 and row >= 0:
                return copy_value(out, &s.labelled.history.columns[leaf.arguments[0].number], row)
            at_row(&value, &s.labelled.history.columns[leaf.arguments[0].number], row)
            return put(out, &value, s.n_shown)
        if leaf.final:
            if leaf.kind == RESULT_FIRST:
                for i in range(s.labelled.n):
                    if is_of(leaf, s, i):
                        if count == leaf.offset:
                            self._pick(leaf, i, &value)
                            break
                        count += 1
            else:
                for i in range(s.labelled.n - 1, -1, -1):
                    if is_of(leaf, s, i):
                        if count == leaf.offset:
                            self._pick(leaf, i, &value)
                            break
                        count += 1
            return put(out, &value, s.n_shown)
        for i in range(s.labelled.n):
            if is_of(leaf, s, i):
                self.picked[count] = <int32_t>i
                count += 1
                if leaf.kind == RESULT_LAST and count > leaf.offset:
                    self._pick(leaf, self.picked[count - 1 - leaf.offset], &value)
                elif leaf.kind == RESULT_FIRST and count == leaf.offset + 1:
                    self._pick(leaf, i, &value)
            if k < s.n_shown and s.shown[k] == i:
                k += 1
                status = put(out, &value, 1)
                if status != STATUS_OK:
                    return status
        return status

    cdef int _aggregate(self, const ResultLeaf *leaf, OutColumn *out) noexcept nogil:
        cdef const Showing *s = &self.showing
        cdef Accumulator a
        cdef Datum value, key, result
        cdef int64_t i, k = 0, count = 0
        cdef int status
        memset(&a, 0, sizeof(Accumulator))
        memset(&value, 0, sizeof(Datum))
        memset(&key, 0, sizeof(Datum))
        for i in range(s.labelled.n):
            if is_of(leaf, s, i):
                argument_value(s, &leaf.arguments[0], i, count, &value)
                if leaf.arguments[1].source != FROM_NONE:
                    argument_value(s, &leaf.arguments[1], i, count, &key)
                accumulator_add(&a, leaf.function, &value, &key)
                count += 1
            if not leaf.final and k < s.n_shown and s.shown[k] == i:
                k += 1
                status = accumulator_value(&a, leaf.function, leaf.type, value.column, &result)
                if status == STATUS_OK:
                    status = put(out, &result, 1)
                if status != STATUS_OK:
                    return status
        if not leaf.final:
            return STATUS_OK
        status = accumulator_value(&a, leaf.function, leaf.type, value.column, &result)
        return put(out, &result, s.n_shown) if status == STATUS_OK else status

    cdef int _list(self, const ResultLeaf *leaf, OutColumn *out) noexcept nogil:
        """ARRAY_AGG: NULLs are elements, no rows are no list."""
        cdef const Showing *s = &self.showing
        cdef Datum value
        cdef int64_t i, k, until, count
        cdef int status = STATUS_OK
        memset(&value, 0, sizeof(Datum))
        if out_reserve(out, s.n_shown) != STATUS_OK:
            return STATUS_NO_MEMORY
        for k in range(s.n_shown):
            until = s.labelled.n - 1 if leaf.final else s.shown[k]
            count = 0
            for i in range(until + 1):
                if is_of(leaf, s, i):
                    argument_value(s, &leaf.arguments[0], i, count, &value)
                    status = put(out.child, &value, 1)
                    if status != STATUS_OK:
                        return status
                    count += 1
            status = out_push_list(out) if count else out_push_null(out)
            if status != STATUS_OK:
                return status
        return status

    cdef int _row(self, const ResultLeaf *leaf, OutColumn *out) noexcept nogil:
        """A column of the rows that are shown."""
        cdef const Showing *s = &self.showing
        cdef const OutColumn *column = &s.labelled.history.columns[leaf.column]
        cdef int64_t k
        cdef int status = STATUS_OK
        if s.n_shown >= GATHER_MIN and column.kind == out.kind:
            for k in range(s.n_shown):
                self.picked[k] = s.labelled.rows[s.shown[k]]
            return out_gather(out, &s.labelled.history.views[leaf.column], self.picked, s.n_shown)
        for k in range(s.n_shown):
            if status == STATUS_OK:
                status = copy_value(out, column, s.labelled.rows[s.shown[k]])
        return status

    cdef int _leaf(self, int i, Fault *fault) noexcept nogil:
        """All values of one leaf for a match that has rows."""
        cdef const Showing *s = &self.showing
        cdef const ResultLeaf *leaf = &self.leaves[i]
        cdef OutColumn *out = &self.output.leaves[i]
        cdef int64_t _k
        cdef int status = STATUS_OK
        if leaf.kind <= RESULT_LAST:
            return self._ends(leaf, out)
        if leaf.kind == RESULT_AGGREGATE:
            return self._aggregate(leaf, out)
        if leaf.kind == RESULT_LIST:
            return self._list(leaf, out)
        if leaf.kind == RESULT_MATCH_NUMBER:
            return put_word(out, s.match.number, s.n_shown)
        if leaf.kind == RESULT_LENGTH:
            return put_word(out, s.match.length, s.n_shown)
        if leaf.kind == RESULT_FIRST_SEQUENCE:
            return put_word(out, s.labelled.history.sequence[s.match.first], s.n_shown)
        if leaf.kind == RESULT_LAST_SEQUENCE:
            return put_word(out, s.labelled.history.sequence[s.match.last], s.n_shown)
        if leaf.kind == RESULT_MATCH:
            return put_word(out, s.serial, s.n_shown)
        if leaf.kind == RESULT_SETTLED or leaf.kind == RESULT_TURN:
            return put_word(out, s.match.settled if leaf.kind == RESULT_SETTLED else s.match.turn, s.n_shown)
        if leaf.kind == RESULT_ROW:
            return self._row(leaf, out)
        for _k in range(s.n_shown):
            if status == STATUS_OK:
                status = keymap_emit(s.keys, s.match.partition, leaf.column, out)
        return status

    cdef int _rowless(self, int i) noexcept nogil:
        """A leaf's value for an empty match, or for a row of no match."""
        cdef const Showing *s = &self.showing
        cdef const ResultLeaf *leaf = &self.leaves[i]
        cdef OutColumn *out = &self.output.leaves[i]
        cdef Accumulator none
        cdef Datum value
        if leaf.kind == RESULT_KEY:
            return keymap_emit(s.keys, s.match.partition, leaf.column, out)
        if leaf.kind == RESULT_ROW:
            return copy_value(out, &s.labelled.history.columns[leaf.column], s.match.first)
        if leaf.kind == RESULT_FIRST_SEQUENCE:
            return out_push_word(out, s.labelled.history.sequence[s.match.first])
        if leaf.kind == RESULT_SETTLED or leaf.kind == RESULT_TURN:
            return out_push_word(out, s.match.settled if leaf.kind == RESULT_SETTLED else s.match.turn)
        if s.match.kind == UNMATCHED:
            if leaf.kind == RESULT_LAST_SEQUENCE:
                return out_push_word(out, s.labelled.history.sequence[s.match.first])
            return out_push_null(out)
        if leaf.kind == RESULT_MATCH:
            return out_push_word(out, s.serial)
        if leaf.kind == RESULT_MATCH_NUMBER:
            return out_push_word(out, s.match.number)
        if leaf.kind == RESULT_LENGTH:
            return out_push_word(out, 0)
        if leaf.kind == RESULT_AGGREGATE:
            memset(&none, 0, sizeof(Accumulator))
            accumulator_value(&none, leaf.function, leaf.type, NULL, &value)
            return put(out, &value, 1)
        return out_push_null(out)

    # ------------------------------------------------------------ matches

    cdef int _label(self) noexcept nogil:
        """Which variable each row is of, and which rows are shown."""
        cdef Showing *s = &self.showing
        cdef int64_t i, k = 0, n = s.match.n
        cdef void *labels
        cdef void *shown
        cdef void *picked
        if n > self.room:
            labels = realloc(self.labels, 2 * n)
            if labels != NULL:
                self.labels = <uint8_t *>labels
            shown = realloc(self.shown, 2 * n * sizeof(int32_t))
            if shown != NULL:
                self.shown = <int32_t *>shown
            picked = realloc(self.picked, 2 * n * sizeof(int32_t))
            if picked != NULL:
                self.picked = <int32_t *>picked
            if labels == NULL or shown == NULL or picked == NULL:
                return STATUS_NO_MEMORY
            self.room = 2 * n
        for i in range(n):
            self.labels[i] = <uint8_t>self.variable_of[s.match.positions[i]]
        if self.all_rows:
            for i in range(n):
                if not self.excluded[s.match.positions[i]]:
                    self.shown[k] = <int32_t>i
                    k += 1
            s.n_shown = k
        s.labelled.rows = s.match.rows
        s.labelled.labels = self.labels
        s.labelled.n = n
        s.shown = self.shown
        return STATUS_OK

    cdef int _found(self, Fault *fault) noexcept nogil:
        cdef Showing *s = &self.showing
        cdef int i, status = STATUS_OK
        s.labelled.n = 0
        s.n_shown = 1
        if self.labels_needed:
            status = self._label()
            if status != STATUS_OK or s.n_shown == 0:
                return self._blame(status, -1, fault)
        if self.groups is not None:
            s.labelled.number = s.match.number
            status = self.groups.run(&s.labelled, 0, fault)
            if status != STATUS_OK:
                return self._blame(status, -2, fault)
        for i in range(self.n_leaves):
            status = self._leaf(i, fault)
            if status != STATUS_OK:
                return self._blame(status, i, fault)
        return STATUS_OK

    cdef int _blame(self, int status, int leaf, Fault *fault) noexcept nogil:
        """Completes the fault of a match; `leaf` -2: it is an argument's, and the fault says which."""
        cdef const Showing *s = &self.showing
        cdef int i, value
        if status == STATUS_OK:
            return status
        if status == STATUS_OVERFLOW and leaf >= 0:
            fault_set(fault, status, -1, leaf, s.labelled.history.sequence[s.match.first],
                      s.labelled.history.sequence[s.match.last], "SUM")
        elif leaf == -2 and status not in (STATUS_NO_MEMORY, STATUS_CAPACITY, STATUS_TYPE):
            value = fault.item
            fault.item = -1
            for i in range(self.n_leaves):
                if ((self.leaves[i].arguments[0].source == FROM_GROUP and self.leaves[i].arguments[0].number == value) or
                        (self.leaves[i].arguments[1].source == FROM_GROUP and self.leaves[i].arguments[1].number == value)):
                    fault.item = i
                    break
        else:
            fault_set(fault, status, -1, leaf, 0, 0, NULL)
        fault.stage = STAGE_RESULT
        return status

    cdef int add(self, const History *history, const KeyMap *keys, const Labelled *match, Fault *fault) noexcept nogil:
        cdef Showing *s = &self.showing
        cdef int64_t length = self.output.waiting()
        cdef int i, status = STATUS_OK
        if match.kind != FOUND and (self.omit_empty if match.kind == EMPTY else not self.all_rows):
            return STATUS_OK
        s.match = match
        s.keys = keys
        s.labelled.history = history
        s.serial += 1
        if match.kind == FOUND:
            status = self._found(fault)
        else:
            for i in range(self.n_leaves):
                if status == STATUS_OK:
                    status = self._blame(self._rowless(i), i, fault)
        if status != STATUS_OK:
            for i in range(self.n_leaves):
                out_truncate(&self.output.leaves[i], length)
        return status

    cdef bint ready(self, const History *history, const Labelled *match) noexcept nogil:
        cdef const ResultLeaf *leaf
        cdef int64_t i, k, count
        cdef int32_t row
        cdef int n
        if self.ahead == 0 or match.kind != FOUND:
            return True
        for n in range(self.n_leaves):
            leaf = &self.leaves[n]
            if leaf.physical <= 0 or leaf.arguments[0].source != FROM_HISTORY or \
                    (leaf.kind != RESULT_FIRST and leaf.kind != RESULT_LAST):
                continue
            if leaf.final and leaf.whole and leaf.offset == 0:
                row = match.first if leaf.kind == RESULT_FIRST else match.last
                if history_walk(history, row, leaf.physical) == ROW_UNKNOWN:
                    return False
                continue
            count = 0
            if not leaf.final and leaf.kind == RESULT_LAST and leaf.offset == 0:
                # The last row so far at each row that is shown; an excluded one is not.
                row = NO_ROW
                for i in range(match.n):
                    if (leaf.variables >> self.variable_of[match.positions[i]]) & 1:
                        row = match.rows[i]
                    if not self.excluded[match.positions[i]] and \
                            history_walk(history, row, leaf.physical) == ROW_UNKNOWN:
                        return False
                continue
            for k in range(match.n):
                i = match.n - 1 - k if leaf.kind == RESULT_LAST else k
                if not (leaf.variables >> self.variable_of[match.positions[i]]) & 1:
                    continue
                if count >= leaf.offset and history_walk(history, match.rows[i], leaf.physical) == ROW_UNKNOWN:
                    return False
                if count >= leaf.offset and (leaf.final or leaf.kind == RESULT_FIRST):
                    break
                count += 1
        return True

    cdef int64_t waiting(self) noexcept nogil:
        return self.output.waiting()

    cdef int take(self, BatchC **out, Fault *fault) noexcept nogil:
        cdef int status
        memset(fault, 0, sizeof(Fault))
        status = self.output.take(out, fault)
        if status == STATUS_OK:
            return status
        if fault.code != status:
            return fault_set(fault, status, -1, -1, 0, 0, NULL)
        fault.stage = STAGE_RESULT + 1
        fault.row = -1          # it was the row's number among those that waited
        return status

    cdef str context(self, const Fault *fault):
        if fault.stage < STAGE_RESULT:
            return ""
        names = self.leaf_names if fault.stage == STAGE_RESULT else self.computed_names
        name = f"MEASURES {names[fault.item]}".strip() if 0 <= fault.item < len(names) else "MEASURES"
        left_out = f"{fault.more + 1} matches are left out; the first" if fault.more else "its match is left out"
        return f"{name} ({left_out})"
