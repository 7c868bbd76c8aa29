"""Verify: everything that a kernel later trusts about memory it was handed is checked here, once a batch.

The C data interface hands over bare pointers; sizes of buffers are not part of it and must be believed. All
that can be checked is:

    shape      released or not, lengths, offsets and null counts, numbers of buffers and children, missing buffers,
               alignment of values to their own size, a parent's rows inside its children (whole tree, all types)
    validity   present where there are nulls; nulls of the batch's own rows are counted exactly (popcount)
    utf8       first offset >= 0, no offset falls
    views      buffer number and range of every long view of a valid row inside the variadic buffers
    dictionary code of every valid row inside the dictionary, and the dictionary by these same rules

Bytes are not checked to be UTF-8: the core compares and copies them as bytes. What lies under a null is not
checked (`Column` readers ask for validity first). Types that kernels cannot read (KIND_NONE) are checked in shape
only: they are carried and handed out again.

A batch whose struct array has an offset is a slice: the offset applies to the rows of every child.

Cost: validity 0.1 ns, offsets 0.2 ns, codes 0.2 ns, views 1 ns a row; a dictionary is checked with each batch
that brings it.
"""
from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport memset
from .arrow_abi cimport ArrowArray, ArrowSchema
from .bits cimport bits_count
from .column cimport (
    KIND_BOOL, KIND_DICT, KIND_FIXED, KIND_LARGE_UTF8, KIND_NONE, KIND_NULL, KIND_UTF8, KIND_UTF8_VIEW, Column)
from .schema cimport Layout, layout_of
from .status cimport STATUS_OK, STATUS_SCHEMA, Fault, fault_set

cdef extern from "verify.hpp" nogil:
    int64_t offsets_fall_32 "offsets_fall<int32_t>"(const int32_t *offsets, int64_t n) noexcept
    int64_t offsets_fall_64 "offsets_fall<int64_t>"(const int64_t *offsets, int64_t n) noexcept
    int64_t codes_outside(int width, const void *values, int64_t n, uint64_t limit, const uint8_t *validity,
                          int64_t bit_offset) noexcept
    int64_t views_outside(const uint8_t *views, int64_t n, const uint8_t *sizes, int64_t n_buffers,
                          const uint8_t *validity, int64_t bit_offset) noexcept

# What empty columns point at, so that no reader meets a NULL: offsets of one row, and bytes of none.
cdef int64_t NOTHING[2]         # zeros, as C has it

# Arrow rows are 64-bit, a batch's are not: gather lists are int32.
cdef const char *TOO_LONG = "more than 2147483647 rows in one batch: hand it over in smaller ones"


cdef const char *shape_check(const ArrowArray *array, const ArrowSchema *schema, int64_t rows) noexcept nogil:
    """The whole tree, without reading a buffer; NULL, or what is wrong. The schema bounds the depth."""
    cdef Layout layout
    cdef int64_t i, need
    cdef const char *text
    if array == NULL:
        return "a child of the array is missing"
    if array.release == NULL:
        return "the array was released or consumed already: take a new capsule from its producer"
    if array.length < 0 or array.offset < 0 or array.null_count < -1:
        return "the array has a negative length, offset or null count"
    if array.offset > INT64_MAX - array.length:
        return "the array's offset and length are beyond any memory"
    if array.length < rows:
        return "the array is shorter than its batch"
    layout_of(schema.format, &layout)
    if array.n_buffers < layout.buffers_min or array.n_buffers > layout.buffers_max:
        return "the array has the wrong number of buffers for its type"
    if array.n_buffers > 0 and array.buffers == NULL:
        return "the array has no buffers"
    if array.n_children != schema.n_children or (array.n_children > 0 and array.children == NULL):
        return "the array has another number of children than its schema"
    if (array.dictionary == NULL) != (schema.dictionary == NULL):
        return "the array and its schema disagree on whether there is a dictionary"
    # Children of a struct and of a sparse union run parallel to their parent, those of a fixed-size list in steps;
    # for the others the length is ruled by offsets, which are not read here.
    need = 0
    if schema.format[0] == c'+' and (schema.format[1] == c's' or
                                     (schema.format[1] == c'u' and schema.format[2] == c's')):
        need = array.offset + array.length
    for i in range(array.n_children):
        text = shape_check(array.children[i], schema.children[i], need)
        if text != NULL:
            return text
    if array.dictionary != NULL:
        return shape_check(array.dictionary, schema.dictionary, 0)
    return NULL


cdef inline bint misaligned(const void *buffer, int64_t width) noexcept nogil:
    # PERF: kernels read values in place, and the compiler's vector loops rely on this.
    return (<uintptr_t>buffer & <uintptr_t>(width - 1)) != 0


cdef int utf8_bind(Column *out, const ArrowArray *array, int64_t begin, int item, Fault *fault) noexcept nogil:
    cdef int64_t first, last, fall
    cdef const int32_t *small
    cdef const int64_t *large
    out.offsets = <const uint8_t *>NOTHING
    out.data = <const uint8_t *>NOTHING
    if out.length == 0:
        return STATUS_OK
    if array.buffers[1] == NULL:
        return fault_set(fault, STATUS_SCHEMA, -1, item, 0, 0, "the offsets buffer is missing")
    if out.kind == KIND_UTF8:
        small = <const int32_t *>array.buffers[1] + begin
        if misaligned(small, 4):
            return fault_set(fault, STATUS_SCHEMA, -1, item, 0, 0, "the offsets buffer is misaligned: copy the column")
        first, last = small[0], small[out.length]
        fall = offsets_fall_32(small, out.length)
        out.offsets = <const uint8_t *>small
    else:
        large = <const int64_t *>array.buffers[1] + begin
        if misaligned(large, 8):
            return fault_set(fault, STATUS_SCHEMA, -1, item, 0, 0, "the offsets buffer is misaligned: copy the column")
        first, last = large[0], large[out.length]
        fall = offsets_fall_64(large, out.length)
        out.offsets = <const uint8_t *>large
    if first < 0:
        return fault_set(fault, STATUS_SCHEMA, 0, item, first, 0, "a string begins at a negative offset")
    if fall >= 0:
        return fault_set(fault, STATUS_SCHEMA, fall, item, 0, 0, "the string offsets fall")
    if array.buffers[2] != NULL:
        out.data = <const uint8_t *>array.buffers[2]
    elif last > first:
        return fault_set(fault, STATUS_SCHEMA, -1, item, 0, 0, "the buffer of the strings' bytes is missing")
    elif first > 0:
        # Empty strings of a buffer that is not there: readers would still add `first` to a base.
        return fault_set(fault, STATUS_SCHEMA, 0, item, first, 0, "a string begins beyond a buffer that is missing")
    return STATUS_OK


cdef int view_bind(Column *out, const ArrowArray *array, int item, Fault *fault) noexcept nogil:
    cdef int64_t i, size, bad
    cdef const uint8_t *sizes = <const uint8_t *>array.buffers[array.n_buffers - 1]
    out.variadic = array.buffers + 2
    out.n_variadic = array.n_buffers - 3
    if out.length == 0:
        return STATUS_OK
    if out.n_variadic > 0 and (sizes == NULL or misaligned(sizes, 8)):
        return fault_set(fault, STATUS_SCHEMA, -1, item, 0, 0, "the sizes of the variadic buffers are missing")
    for i in range(out.n_variadic):
        size = (<const int64_t *>sizes)[i]
        if size < 0 or (size > 0 and out.variadic[i] == NULL):
            return fault_set(fault, STATUS_SCHEMA, -1, item, size, i, "a variadic buffer is missing")
    bad = views_outside(out.values, out.length, sizes, out.n_variadic, out.validity, out.bit_offset)
    if bad >= 0:
        return fault_set(fault, STATUS_SCHEMA, bad, item, 0, 0, "a string view points outside its buffers")
    return STATUS_OK


cdef int column_bind(Column *out, Column *dictionary, const ArrowArray *array, const ArrowSchema *schema,
                     int64_t start, int64_t length, int item, Fault *fault) noexcept nogil:
    """Fills the view of rows [start, start + length) of an array whose shape is right."""
    cdef Layout layout
    cdef int64_t begin = array.offset + start
    cdef int64_t bad
    cdef const uint8_t *bits
    memset(out, 0, sizeof(Column))
    layout_of(schema.format, &layout)
    out.kind = layout.kind
    out.width = layout.width
    out.length = length
    if out.kind == KIND_NONE:
        return STATUS_OK
    if out.kind == KIND_NULL:
        out.null_count = length
        return STATUS_OK
    out.bit_offset = begin
    if array.null_count != 0 and length > 0:
        bits = <const uint8_t *>array.buffers[0]
        if bits != NULL:
            out.null_count = length - bits_count(bits, begin, length)
            out.validity = bits if out.null_count > 0 else NULL
        elif array.null_count > 0:
            return fault_set(fault, STATUS_SCHEMA, -1, item, array.null_count, 0,
                             "there are nulls but no validity bitmap")
    if out.kind == KIND_UTF8 or out.kind == KIND_LARGE_UTF8:
        return utf8_bind(out, array, begin, item, fault)

    out.values = <const uint8_t *>array.buffers[1]
    if out.values == NULL:
        if length > 0 and not (out.kind == KIND_FIXED and out.width == 0):
            return fault_set(fault, STATUS_SCHEMA, -1, item, 0, 0, "the values buffer is missing")
        out.values = <const uint8_t *>NOTHING
    elif out.kind != KIND_BOOL:
        out.values += begin * out.width
        if length > 0 and out.kind != KIND_FIXED and misaligned(out.values, 8 if out.width > 8 else out.width):
            return fault_set(fault, STATUS_SCHEMA, -1, item, 0, 0, "the values buffer is misaligned: copy the column")
    if out.kind == KIND_UTF8_VIEW:
        return view_bind(out, array, item, fault)
    if schema.dictionary == NULL:
        return STATUS_OK

    out.index_kind = out.kind
    out.kind = KIND_DICT
    if array.dictionary.length > INT32_MAX:
        return fault_set(fault, STATUS_SCHEMA, -1, item, array.dictionary.length, 0,
                         "a dictionary of more than 2147483647 values")
    bad = column_bind(dictionary, NULL, array.dictionary, schema.dictionary, 0, array.dictionary.length, item, fault)
    if bad != STATUS_OK:
        fault.row = -1                      # it is a row of the dictionary, not of the batch
        return <int>bad
    if dictionary.kind == KIND_NONE:
        out.kind = KIND_NONE                # values that kernels cannot read: carried like any such column
        return STATUS_OK
    out.dictionary = dictionary
    bad = codes_outside(out.width, out.values, length, <uint64_t>dictionary.length, out.validity, out.bit_offset)
    if bad >= 0:
        return fault_set(fault, STATUS_SCHEMA, bad, item, 0, dictionary.length,
                         "a dictionary code lies outside its dictionary")
    return STATUS_OK


cdef int verify_struct(const ArrowArray *array, const ArrowSchema *schema, Column *columns, Column *dictionaries,
                       Fault *fault) noexcept nogil:
    cdef int64_t i, nulls
    cdef int status
    cdef const uint8_t *bits
    cdef const char *text
    cdef ArrowArray whole
    # The columns are looked at one by one below, to name the one at fault: here the struct without them.
    whole = array[0]
    cdef ArrowSchema bare = schema[0]
    whole.n_children = bare.n_children = 0
    text = shape_check(&whole, &bare, 0)
    if text == NULL and (array.n_children != schema.n_children or (array.n_children > 0 and array.children == NULL)):
        text = "the array has another number of columns than its schema"
    if text == NULL and array.length > INT32_MAX:
        text = TOO_LONG
    if text != NULL:
        return fault_set(fault, STATUS_SCHEMA, -1, -1, 0, 0, text)
    if array.null_count != 0 and array.length > 0:
        bits = <const uint8_t *>array.buffers[0]
        nulls = array.null_count
        if bits != NULL:
            nulls = array.length - bits_count(bits, array.offset, array.length)
        if nulls > 0:
            return fault_set(fault, STATUS_SCHEMA, -1, -1, nulls, 0,
                             "whole rows are null (a struct array with nulls): unnest it, or drop those rows")
    for i in range(array.n_children):
        text = shape_check(array.children[i], schema.children[i], array.offset + array.length)
        if text != NULL:
            return fault_set(fault, STATUS_SCHEMA, -1, <int32_t>i, 0, 0, text)
        status = column_bind(&columns[i], &dictionaries[i], array.children[i], schema.children[i],
                             array.offset, array.length, <int>i, fault)
        if status != STATUS_OK:
            return status
    return STATUS_OK
