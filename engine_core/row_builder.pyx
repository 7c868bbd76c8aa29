"""Rows: events given as Python dicts -> one Batch, for the single events and small lists that people push.

A RowBuilder is made once for a schema and holds what each column's values must be; `build` goes through the rows once
and writes every value straight into an Arrow column (builder.pyx). Values:

    bool                    bool (numpy.bool_ too)
    integers                int and what has __index__ (numpy integers), within the column's range; no bool, no float
    float32, float64        float, int, numpy floating
    utf8 / binary           str / bytes
    date                    datetime.date, datetime at midnight, numpy.datetime64, or the number itself (int)
    timestamp               datetime (with a zone: the instant; without: taken as UTC), numpy.datetime64, int
    duration                timedelta, numpy.timedelta64, int

None is null in every column. Every column must be there by name: a forgotten key is an error, not a null. A time that
its column's unit cannot hold without loss is refused. Other types (decimal, dictionary, views, nested, ...) are not
built here: `supports` says so, and the caller goes through pyarrow.

Cost: ~0.1 us per value + ~0.5 us per batch. Errors (SchemaError) name column, row, value and what is expected.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, UINT64_MAX, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free

from .batch cimport Batch, BatchC
from .builder cimport (OutColumn, out_export, out_free, out_init, out_push_bytes, out_push_f64, out_push_i64,
                       out_push_null, out_truncate)
from .schema cimport Schema
from .status cimport STATUS_CAPACITY, STATUS_NO_MEMORY, STATUS_OK

from datetime import date, datetime, timedelta
from difflib import get_close_matches

from .status import LimitError, SchemaError

cdef extern from "Python.h":
    bint PyUnicode_Check(object o)
    bint PyBytes_Check(object o)
    bint PyFloat_Check(object o)
    bint PyBool_Check(object o)
    bint PyIndex_Check(object o)
    bint PyDict_CheckExact(object o)
    PyObject *Py_TYPE(object o)
    double PyFloat_AS_DOUBLE(object o)
    long long PyLong_AsLongLongAndOverflow(object o, int *overflow)

cdef extern from "event_value.hpp" namespace "tocsin":
    int find_value(PyObject *event, PyObject *name, PyObject **value) except -1
    PyObject *value_of(PyObject *event, PyObject *name) noexcept
    void let_value_go(PyObject *value) noexcept

# What a column takes; the physical kind alone does not tell a timestamp from an integer.
cdef enum Role:
    ROLE_BOOL
    ROLE_INT
    ROLE_UINT64
    ROLE_FLOAT
    ROLE_TEXT
    ROLE_BYTES
    ROLE_DATE
    ROLE_TIMESTAMP
    ROLE_DURATION

cdef PyObject *FLOAT_TYPE = <PyObject *>float
cdef PyObject *INT_TYPE = <PyObject *>int
cdef PyObject *TEXT_TYPE = <PyObject *>str
cdef PyObject *BYTES_TYPE = <PyObject *>bytes

cdef enum:
    BYTES_KEPT = 1 << 16    # of text: a column that grew beyond gives its memory back

EXPECTED = {
    ROLE_BOOL: "a bool", ROLE_INT: "an integer", ROLE_UINT64: "an integer", ROLE_FLOAT: "a number", ROLE_TEXT: "a str",
    ROLE_BYTES: "bytes", ROLE_DATE: "a date", ROLE_TIMESTAMP: "a datetime", ROLE_DURATION: "a timedelta",
}
UNITS = {"s": 1_000_000_000, "m": 1_000_000, "u": 1_000, "n": 1}
DAY_NS = 86_400_000_000_000
EPOCH_DAY = 719_163    # date(1970, 1, 1).toordinal()


def datetime_ns(value):
    """A datetime, date or numpy.datetime64 as nanoseconds since 1970 (UTC); None for NaT; TypeError for others."""
    if isinstance(value, datetime):
        if value != value:          # pandas' NaT is a datetime
            return None
        offset = value.utcoffset() or timedelta()
        seconds = ((value.toordinal() - EPOCH_DAY) * 86_400 + value.hour * 3_600 + value.minute * 60 + value.second
                   - offset.days * 86_400 - offset.seconds)
        # pandas' Timestamp carries what is below the microsecond by itself.
        return (seconds * 1_000_000 + value.microsecond - offset.microseconds) * 1_000 + getattr(value, "nanosecond", 0)
    if isinstance(value, date):
        return (value.toordinal() - EPOCH_DAY) * DAY_NS
    if type(value).__name__ == "datetime64":
        return numpy_ns(value)
    raise TypeError(f"{value!r} is not a time")


def timedelta_ns(value):
    """A timedelta or numpy.timedelta64 as nanoseconds; None for NaT; TypeError for others."""
    if isinstance(value, timedelta):
        if value != value:
            return None
        return ((value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds) * 1_000 + getattr(
            value, "nanoseconds", 0)
    if type(value).__name__ == "timedelta64":
        return numpy_ns(value)
    raise TypeError(f"{value!r} is not a duration")


cdef object numpy_ns(object value):
    # int64 minimum is NaT; numpy's own conversion to ns would wrap round, so scale here.
    if value != value:
        return None
    unit, count = value.dtype.str[4:].rstrip("]") or "generic", 1
    digits = "".join([c for c in unit if c.isdigit()])
    if digits:
        count, unit = int(digits), unit[len(digits):]
    scale = {"D": DAY_NS, "h": DAY_NS // 24, "m": DAY_NS // 1440, "s": 10**9, "ms": 10**6, "us": 1_000, "ns": 1,
             "W": 7 * DAY_NS}.get(unit)
    if scale is None:
        raise TypeError(f"{value!r} has the unit {unit!r}; use one from weeks to nanoseconds")
    return int(value.astype("int64")) * count * scale


cdef class RowBuilder:
    """Builds batches of `schema` from rows.

    >>> from tocsin_core.schema import Schema
    >>> builder = RowBuilder(Schema.from_fields(["n", "name"], ["l", "u"]))
    >>> len(builder.build([{"n": 1, "name": "a"}, {"name": None, "n": 2}]))
    2
    """
    def __cinit__(self, Schema schema not None):
        cdef int64_t i
        self.schema = schema
        self.names = list(schema.names)
        self.n = len(self.names)
        self.columns = <RowColumn *>calloc(self.n + 1, sizeof(RowColumn))
        self.outs = <OutColumn *>calloc(self.n + 1, sizeof(OutColumn))
        if self.columns == NULL or self.outs == NULL:
            raise MemoryError("out of memory: the columns of a row builder")
        self.supports = len(set(schema.names)) == self.n
        for i in range(self.n):
            if schema.c.children[i].dictionary != NULL or not self.describe(i, schema.formats[i], schema.kinds[i]):
                self.supports = False
                return
        for i in range(self.n):
            out_init(&self.outs[i], self.columns[i].kind, 0)

    def __dealloc__(self):
        cdef int64_t i
        if self.outs != NULL:
            for i in range(self.n):
                out_free(&self.outs[i])
        free(self.outs)
        free(self.columns)

    cdef bint describe(self, int64_t i, str format, int kind):
        """Fills columns[i]; False for a type that is not built here."""
        cdef RowColumn *c = &self.columns[i]
        cdef int bits
        c.kind = kind
        c.unit_ns = 0
        c.low, c.high = INT64_MIN, INT64_MAX
        if format == "b":
            c.role = ROLE_BOOL
        elif format in ("f", "g"):
            c.role = ROLE_FLOAT
        elif format == "u":
            c.role = ROLE_TEXT
        elif format == "z":
            c.role = ROLE_BYTES
        elif format == "L":
            c.role = ROLE_UINT64
        elif len(format) == 1 and format in ("c", "C", "s", "S", "i", "I", "l"):
            c.role = ROLE_INT
            bits = {"c": 8, "s": 16, "i": 32, "l": 64}[format.lower()]
            if format.isupper():
                c.low, c.high = 0, (<int64_t>1 << bits) - 1     # at most 32 bits: "L" has a role of its own
            else:
                c.high = <int64_t>((<uint64_t>1 << (bits - 1)) - 1)
                c.low = -c.high - 1
        elif format in ("tdD", "tdm"):
            c.role = ROLE_DATE
            c.unit_ns = DAY_NS if format == "tdD" else UNITS["m"]
            if format == "tdD":
                c.low, c.high = INT32_MIN, INT32_MAX
        elif format.startswith("ts"):
            c.role, c.unit_ns = ROLE_TIMESTAMP, UNITS[format[2:3]]
        elif format.startswith("tD"):
            c.role, c.unit_ns = ROLE_DURATION, UNITS[format[2:3]]
        else:
            return False
        return True

    def build(self, rows):
        """One Batch of `rows`, a sequence of dicts. Raises SchemaError; nothing is kept of the rows then."""
        cdef int64_t row = self.fill(rows)
        cdef BatchC *c = out_export(self.outs, self.n, row)
        if c == NULL:
            self.clear()
            raise MemoryError("out of memory: a batch of rows")
        return Batch.wrap(c, self.schema)

    cdef int64_t fill(self, object rows) except -1:
        cdef int64_t i, row = 0
        cdef PyObject *found
        cdef bint done = False
        try:
            for event in rows:
                if not PyDict_CheckExact(event):
                    event = self.as_dict(event, row)
                for i in range(self.n):
                    if find_value(<PyObject *>event, <PyObject *>self.names[i], &found) == 0:
                        raise SchemaError(f"row {row} has no column '{self.names[i]}' (give None for a null); it has "
                                          f"{', '.join([repr(k) for k in event]) or 'nothing'}")
                    value = <object>found
                    Py_DECREF(value)
                    self.write(i, value, row)
                if len(event) != self.n:
                    self.surplus(event, row)
                row += 1
            done = True
        finally:
            if not done:
                self.clear()
        return row

    cdef bint fill_plain(self, dict event) noexcept:
        """The same for one event of nothing but int, float, str, bytes, bool and None, by their very types: no code of
        anybody's runs meanwhile, and nobody else gets the GIL. False for any other, and for all that `fill` would refuse.
        """
        cdef int64_t i
        cdef PyObject *value
        cdef bint done
        if len(event) != self.n:
            return False
        for i in range(self.n):
            value = value_of(<PyObject *>event, <PyObject *>self.names[i])      # str: compared to no key of another type
            if value == NULL:
                break
            done = write_plain(&self.columns[i], &self.outs[i], value)
            let_value_go(value)
            if not done:
                break
        else:
            return True
        self.clear()
        return False

    cdef void clear(self) noexcept:
        cdef int64_t i
        for i in range(self.n):
            if self.outs[i].bytes_capacity > BYTES_KEPT:
                out_free(&self.outs[i])
            else:
                out_truncate(&self.outs[i], 0)

    cdef dict as_dict(self, object event, int64_t row):
        if hasattr(event, "keys"):
            return dict(event)
        raise SchemaError(f"row {row} is {type(event).__name__}, not a dict of column names and values")

    cdef int surplus(self, dict event, int64_t row) except -1:
        for key in event:
            if key not in self.schema.names:
                near = get_close_matches(str(key), self.schema.names, 1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; the columns are {', '.join(self.schema.names)}"
                raise SchemaError(f"row {row} has a column {key!r} that the stream has not{hint}")
        return 0

    cdef int write(self, int64_t i, object value, int64_t row) except -1:
        cdef RowColumn *c = &self.columns[i]
        cdef OutColumn *o = &self.outs[i]
        cdef Py_ssize_t size
        cdef const char *text
        cdef int status
        if value is None:
            status = out_push_null(o)
        elif c.role == ROLE_FLOAT:
            if PyFloat_Check(value):
                status = out_push_f64(o, <double>value)
            elif PyBool_Check(value) or not (PyIndex_Check(value) or is_numpy_float(value)):
                raise self.wrong(i, value, row)
            else:
                status = out_push_f64(o, float(value))
        elif c.role == ROLE_TEXT:
            if not PyUnicode_Check(value):
                raise self.wrong(i, value, row)
            try:
                text = PyUnicode_AsUTF8AndSize(value, &size)
            except UnicodeEncodeError:
                raise SchemaError(f"column '{self.schema.names[i]}', row {row}: {value!r} cannot be UTF-8") from None
            status = out_push_bytes(o, <const uint8_t *>text, size)
        elif c.role == ROLE_INT or c.role == ROLE_UINT64:
            if PyBool_Check(value) or not PyIndex_Check(value):
                raise self.wrong(i, value, row)
            status = self.write_int(i, value, row, value)
        elif c.role == ROLE_BOOL:
            if value is True or value is False:
                status = out_push_i64(o, value is True)
            elif type(value).__name__ in ("bool", "bool_"):     # numpy's
                status = out_push_i64(o, bool(value))
            else:
                raise self.wrong(i, value, row)
        elif c.role == ROLE_BYTES:
            if not PyBytes_Check(value):
                raise self.wrong(i, value, row)
            status = out_push_bytes(o, <const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        else:
            status = self.write_time(i, value, row)
        if status == STATUS_NO_MEMORY:
            raise MemoryError("out of memory: a batch of rows")
        if status == STATUS_CAPACITY:
            raise LimitError(f"column '{self.schema.names[i]}' has more than 2 GiB of text; push smaller batches")
        return 0

    cdef int write_int(self, int64_t i, object number, int64_t row, object value) except -1:
        cdef RowColumn *c = &self.columns[i]
        number = number.__index__()
        if c.role == ROLE_UINT64:
            if not 0 <= number <= UINT64_MAX:
                raise self.beyond(i, value, row, 0, UINT64_MAX)
            return out_push_i64(&self.outs[i], <int64_t><uint64_t>number)
        if not c.low <= number <= c.high:
            raise self.beyond(i, value, row, c.low, c.high)
        return out_push_i64(&self.outs[i], <int64_t>number)

    cdef int write_time(self, int64_t i, object value, int64_t row) except -1:
        cdef RowColumn *c = &self.columns[i]
        if PyIndex_Check(value) and not PyBool_Check(value) and type(value).__name__ not in ("timedelta64", "datetime64"):
            return self.write_int(i, value, row, value)     # in the column's unit
        try:
            ns = timedelta_ns(value) if c.role == ROLE_DURATION else datetime_ns(value)
        except TypeError:
            raise self.wrong(i, value, row) from None
        if ns is None:
            return out_push_null(&self.outs[i])
        number, rest = divmod(ns, c.unit_ns)
        if rest or (c.role == ROLE_DATE and ns % DAY_NS):
            raise SchemaError(f"column '{self.schema.names[i]}', row {row}: {value!r} does not fit Arrow type "
                              f"'{self.schema.formats[i]}' without loss; round it first")
        return self.write_int(i, number, row, value)

    cdef object wrong(self, int64_t i, object value, int64_t row):
        text = repr(value)
        return SchemaError(
            f"column '{self.schema.names[i]}', row {row}: {text[:60]} is {type(value).__name__}, expected "
            f"{EXPECTED[self.columns[i].role]} (Arrow type '{self.schema.formats[i]}')")

    cdef object beyond(self, int64_t i, object value, int64_t row, object low, object high):
        return SchemaError(f"column '{self.schema.names[i]}', row {row}: {repr(value)[:60]} is outside {low} .. {high} of "
                           f"Arrow type '{self.schema.formats[i]}'")


cdef bint write_plain(const RowColumn *c, OutColumn *o, PyObject *value) noexcept:
    """One value of fill_plain's; False: it is for `write` to say what to do with it."""
    cdef PyObject *kind = <PyObject *>Py_TYPE(<object>value)
    cdef int64_t number
    cdef Py_ssize_t size
    cdef const char *text
    cdef int overflow
    if kind == FLOAT_TYPE:
        return c.role == ROLE_FLOAT and out_push_f64(o, PyFloat_AS_DOUBLE(<object>value)) == STATUS_OK
    if kind == INT_TYPE:
        number = PyLong_AsLongLongAndOverflow(<object>value, &overflow)
        if overflow or number < c.low or number > c.high:
            return False
        if c.role == ROLE_FLOAT:
            return out_push_f64(o, <double>number) == STATUS_OK
        if c.role == ROLE_INT or c.role >= ROLE_DATE or (c.role == ROLE_UINT64 and number >= 0):
            return out_push_i64(o, number) == STATUS_OK
        return False
    if kind == TEXT_TYPE:
        if c.role != ROLE_TEXT:
            return False
        text = utf8_of(<object>value, &size)
        return text != NULL and out_push_bytes(o, <const uint8_t *>text, size) == STATUS_OK
    if value == <PyObject *>None:
        return out_push_null(o) == STATUS_OK
    if value == <PyObject *>True or value == <PyObject *>False:
        return c.role == ROLE_BOOL and out_push_i64(o, value == <PyObject *>True) == STATUS_OK
    if kind == BYTES_TYPE and c.role == ROLE_BYTES:
        text = PyBytes_AS_STRING(<object>value)
        return out_push_bytes(o, <const uint8_t *>text, PyBytes_GET_SIZE(<object>value)) == STATUS_OK
    return False


cdef const char *utf8_of(object text, Py_ssize_t *size) noexcept:
    """NULL: it cannot be UTF-8, or there is no memory."""
    cdef const char *found = NULL
    try:
        found = PyUnicode_AsUTF8AndSize(text, size)
    except Exception:
        found = NULL
    return found


cdef bint is_numpy_float(object value):
    return type(value).__name__ in ("float16", "float32", "longdouble")
