"""Matches by hand: a History filled from batches, and matches that a test makes up, for the tests of Results."""
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from tocsin_core.aggregate cimport Accumulator, Datum, accumulator_add, accumulator_value, datum_read
from tocsin_core.batch cimport Batch, BatchC
from tocsin_core.builder cimport out_init
from tocsin_core.column cimport Column
from tocsin_core.history cimport History, NO_ROW, history_append, history_free, history_init
from tocsin_core.keymap cimport KeyMap, keymap_free, keymap_ids, keymap_init, keymap_prepare
from tocsin_core.registers cimport TYPE_F64, TYPE_STR
from tocsin_core.results cimport Labelled, Results
from tocsin_core.schema cimport Schema
from tocsin_core.status cimport STATUS_OK, Fault, fault_exception


cdef class Matches:
    """One History and one KeyMap, over a Results.

    Args: results; sources: which column of the batches each of the History's is; layouts: (Kind, width) of each; keys: the
    partition's columns.
    """
    cdef History history
    cdef KeyMap keys
    cdef Results results
    cdef list key_columns
    cdef dict last
    cdef readonly list partitions

    def __init__(self, Results results, list sources, list layouts, list keys):
        self.results = results
        self.key_columns = keys
        self.last = {}
        self.partitions = []
        assert history_init(&self.history, len(sources)) == STATUS_OK
        for i in range(len(sources)):
            self.history.sources[i] = sources[i]
            out_init(&self.history.columns[i], layouts[i][0], layouts[i][1])
        assert keymap_init(&self.keys, len(keys), False, 7) == STATUS_OK

    def __dealloc__(self):
        history_free(&self.history)
        keymap_free(&self.keys)

    def append(self, Batch batch):
        cdef int64_t n = batch.c.n_rows, i
        cdef int32_t *rows = <int32_t *>malloc(n * 4 + 4)
        cdef uint32_t *ids = <uint32_t *>malloc(n * 4 + 4)
        cdef const Column **columns = <const Column **>calloc(len(self.key_columns) + 1, sizeof(void *))
        cdef int32_t at = self.history.n_rows
        for k, column in enumerate(self.key_columns):
            columns[k] = &batch.c.columns[<int>column]
        for i in range(n):
            rows[i] = <int32_t>i
        assert history_append(&self.history, batch.c.columns, rows, n, at) == STATUS_OK
        assert keymap_prepare(&self.keys, columns, n) == STATUS_OK
        assert keymap_ids(&self.keys, columns, NULL, 0, n, ids) == STATUS_OK
        for i in range(n):
            self.partitions.append(ids[i])
            before = self.last.get(ids[i], NO_ROW)
            self.history.before[at + i] = before
            if before >= 0:
                self.history.behind[<int32_t>before] = <int32_t>(at + i)
            self.last[ids[i]] = at + i
        free(rows)
        free(ids)
        free(columns)

    def add(self, int kind, uint32_t partition, int64_t number, int32_t first, int32_t last, int64_t length, list rows,
            list positions, int times=1):
        """Hands a match over; returns the exception of a fault, or None."""
        cdef Labelled m
        cdef Fault fault
        cdef int status = 0
        cdef int _
        memset(&fault, 0, sizeof(Fault))
        cdef int32_t *r = <int32_t *>malloc(len(rows) * 4 + 4)
        cdef int32_t *p = <int32_t *>malloc(len(rows) * 4 + 4)
        for i in range(len(rows)):
            r[i] = rows[i]
            p[i] = positions[i]
        m.kind = kind
        m.partition = partition
        m.number = number
        m.first = first
        m.last = last
        m.length = length
        m.rows = r
        m.positions = p
        m.n = len(rows)
        with nogil:
            for _ in range(times):
                status = self.results.add(&self.history, &self.keys, &m, &fault)
        free(r)
        free(p)
        return None if status == STATUS_OK else fault_exception(&fault, self.results.context(&fault))

    def take(self, Schema schema):
        """(Batch or None, the exception of a fault or None)"""
        cdef BatchC *out = NULL
        cdef Fault fault
        cdef int status = self.results.take(&out, &fault)
        if status != STATUS_OK:
            return None, fault_exception(&fault, self.results.context(&fault))
        return (Batch.wrap(out, schema) if out != NULL else None), None


def aggregate(Batch batch, int function, int type, int out_type, int times=1):
    """An accumulator's bytes and its value over the first column (and the second, of which it is of the same type)."""
    cdef History h
    cdef Accumulator a
    cdef Datum value, key, out
    cdef int64_t i
    cdef int32_t row
    cdef int status, _
    assert history_init(&h, 2) == STATUS_OK
    for i in range(2):
        h.sources[i] = <int32_t>i
        out_init(&h.columns[i], batch.c.columns[i].kind, 0)
    memset(&a, 0, sizeof(a))
    for row in range(batch.c.n_rows):
        assert history_append(&h, batch.c.columns, &row, 1, 0) == STATUS_OK
    with nogil:
        for _ in range(times):
            memset(&a, 0, sizeof(a))
            for row in range(h.n_rows):
                datum_read(&value, type, &h.columns[0], row)
                datum_read(&key, type, &h.columns[1], row)
                accumulator_add(&a, function, &value, &key)
    status = accumulator_value(&a, function, out_type, &h.columns[0], &out)
    if status != STATUS_OK:
        result = OverflowError()
    elif not out.valid:
        result = None
    elif out_type == TYPE_STR:
        result = (<const char *>out.column.values)[out.column.offsets[out.row]:out.column.offsets[out.row + 1]].decode()
    elif out_type == TYPE_F64:
        result = (<double *>&out.word)[0]
    else:
        result = <int64_t>out.word
    history_free(&h)
    return (<const char *>&a)[:sizeof(a)], result
