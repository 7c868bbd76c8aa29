"""Schema: one owned Arrow struct schema, and what the core must know of a type by its format string.

An ArrowSchema is a tree of nodes. A Schema owns a deep copy of the one it was made from, each node in one block:

    block of a node:  [children pointers][format \\0][name \\0][metadata]      private_data -> block

so that a consumer may move a child away and release the rest, as the specification allows. `schema_check` is
asked before anything else reads a foreign schema: formats known, child counts right, depth at most 64.

Compatible (`schema_compatible`) means: same number of columns, names, order and logical types. utf8, large_utf8,
utf8_view and dictionaries of them are one logical type, so are the binaries; a dictionary's index width is
free; nullability, metadata and the names inside lists and maps mean nothing; all else (timestamp unit and
zone, decimal precision and scale, field names of structs) must be equal.

Cost: `accepts` 0.1 us for 8 columns; a copy with its Python names ~0.2 us a column.
Source: https://arrow.apache.org/docs/format/CDataInterface.html
"""
from cpython.pycapsule cimport (
    PyCapsule_CheckExact, PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New)
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc, strtoll
from libc.string cimport memcmp, memcpy, memset, strcmp, strlen
from .arrow_abi cimport ARROW_FLAG_NULLABLE, ArrowSchema
from .column cimport (
    KIND_BOOL, KIND_DICT, KIND_F16, KIND_F32, KIND_F64, KIND_FIXED, KIND_I8, KIND_I16, KIND_I32, KIND_I64,
    KIND_LARGE_UTF8, KIND_NONE, KIND_NULL, KIND_U8, KIND_U16, KIND_U32, KIND_U64, KIND_UTF8, KIND_UTF8_VIEW)
from .status cimport STATUS_NO_MEMORY, STATUS_OK, STATUS_TYPE
from .status import SchemaError

# Kinds by name, for the Python code that types programs.
KINDS = {
    "none": KIND_NONE, "bool": KIND_BOOL, "i8": KIND_I8, "i16": KIND_I16, "i32": KIND_I32, "i64": KIND_I64,
    "u8": KIND_U8, "u16": KIND_U16, "u32": KIND_U32, "u64": KIND_U64, "f16": KIND_F16, "f32": KIND_F32,
    "f64": KIND_F64, "utf8": KIND_UTF8, "large_utf8": KIND_LARGE_UTF8, "utf8_view": KIND_UTF8_VIEW,
    "fixed": KIND_FIXED, "dict": KIND_DICT, "null": KIND_NULL,
}

cdef enum:
    DEPTH_MAX = 64


# ------------------------------------------------------------------ formats

cdef inline int layout_set(Layout *out, int kind, int width, int low, int high, int children) noexcept nogil:
    out.kind = kind
    out.width = width
    out.buffers_min = low
    out.buffers_max = high
    out.n_children = children
    return STATUS_OK


cdef int layout_fixed_width(const char *digits, int64_t *out) noexcept nogil:
    """A decimal number from 0 to 2^30 that ends the string."""
    cdef char *end = NULL
    if digits[0] < c'0' or digits[0] > c'9':
        return STATUS_TYPE
    out[0] = strtoll(digits, &end, 10)
    return STATUS_OK if end[0] == 0 and out[0] <= (1 << 30) else STATUS_TYPE


cdef int decimal_parts(const char *format, int64_t *precision, int64_t *scale, int64_t *bits) noexcept nogil:
    """Reads "d:precision,scale[,bits]"; bits are 128 when left out."""
    cdef char *end = NULL
    precision[0] = strtoll(format + 2, &end, 10)
    if end == format + 2 or end[0] != c',':
        return STATUS_TYPE
    cdef char *second = end + 1
    scale[0] = strtoll(second, &end, 10)
    if end == second:
        return STATUS_TYPE
    bits[0] = 128
    cdef char *third
    if end[0] == c',':
        third = end + 1
        bits[0] = strtoll(third, &end, 10)
        if end == third:
            return STATUS_TYPE
    if end[0] != 0 or (bits[0] != 32 and bits[0] != 64 and bits[0] != 128 and bits[0] != 256):
        return STATUS_TYPE
    return STATUS_OK


cdef int layout_time(const char *format, Layout *out) noexcept nogil:
    """The formats that begin with 't': dates, times, timestamps, durations, intervals."""
    cdef char family = format[1]
    cdef char unit = format[2] if family != 0 else 0
    if unit == 0:
        return STATUS_TYPE
    if family == c's':                                   # timestamp: "tsu:zone"
        if format[3] != c':' or (unit != c's' and unit != c'm' and unit != c'u' and unit != c'n'):
            return STATUS_TYPE
        return layout_set(out, KIND_I64, 8, 2, 2, 0)
    if format[3] != 0:
        return STATUS_TYPE
    if family == c'd' and unit == c'D':
        return layout_set(out, KIND_I32, 4, 2, 2, 0)
    if family == c'd' and unit == c'm':
        return layout_set(out, KIND_I64, 8, 2, 2, 0)
    if family == c't' and (unit == c's' or unit == c'm'):
        return layout_set(out, KIND_I32, 4, 2, 2, 0)
    if family == c't' and (unit == c'u' or unit == c'n'):
        return layout_set(out, KIND_I64, 8, 2, 2, 0)
    if family == c'D' and (unit == c's' or unit == c'm' or unit == c'u' or unit == c'n'):
        return layout_set(out, KIND_I64, 8, 2, 2, 0)
    if family == c'i' and unit == c'M':
        return layout_set(out, KIND_FIXED, 4, 2, 2, 0)
    if family == c'i' and unit == c'D':
        return layout_set(out, KIND_FIXED, 8, 2, 2, 0)
    if family == c'i' and unit == c'n':
        return layout_set(out, KIND_FIXED, 16, 2, 2, 0)
    return STATUS_TYPE


cdef int layout_nested(const char *format, Layout *out) noexcept nogil:
    """The formats that begin with '+': carried, not read."""
    cdef char first = format[1]
    cdef char second = format[2] if first != 0 else 0
    cdef int64_t size
    if first == c'w':
        if second != c':' or layout_fixed_width(format + 3, &size) != STATUS_OK:
            return STATUS_TYPE
        return layout_set(out, KIND_NONE, 0, 1, 1, 1)
    if first == c'u':
        # Before Arrow 1.0 unions had a validity bitmap in front.
        if second == c'd' and format[3] == c':':
            return layout_set(out, KIND_NONE, 0, 2, 3, -1)
        if second == c's' and format[3] == c':':
            return layout_set(out, KIND_NONE, 0, 1, 2, -1)
        return STATUS_TYPE
    if first == c'v':
        if (second == c'l' or second == c'L') and format[3] == 0:
            return layout_set(out, KIND_NONE, 0, 3, 3, 1)
        return STATUS_TYPE
    if second != 0:
        return STATUS_TYPE
    if first == c's':
        return layout_set(out, KIND_NONE, 0, 1, 1, -1)
    if first == c'l' or first == c'L' or first == c'm':
        return layout_set(out, KIND_NONE, 0, 2, 2, 1)
    if first == c'r':
        return layout_set(out, KIND_NONE, 0, 0, 0, 2)
    return STATUS_TYPE


cdef int layout_of(const char *format, Layout *out) noexcept nogil:
    cdef char first = format[0]
    cdef int64_t precision, scale, number
    if first == c't':
        return layout_time(format, out)
    if first == c'+':
        return layout_nested(format, out)
    if first == c'd':
        if format[1] != c':' or decimal_parts(format, &precision, &scale, &number) != STATUS_OK:
            return STATUS_TYPE
        return layout_set(out, KIND_FIXED, <int>(number >> 3), 2, 2, 0)
    if first == c'w':
        if format[1] != c':' or layout_fixed_width(format + 2, &number) != STATUS_OK:
            return STATUS_TYPE
        return layout_set(out, KIND_FIXED, <int>number, 2, 2, 0)
    if first == c'v':
        if (format[1] == c'u' or format[1] == c'z') and format[2] == 0:
            return layout_set(out, KIND_UTF8_VIEW, 16, 3, 1 << 30, 0)
        return STATUS_TYPE
    if first == 0 or format[1] != 0:
        return STATUS_TYPE
    if first == c'n':
        return layout_set(out, KIND_NULL, 0, 0, 1, 0)    # some producers send an unused validity buffer
    if first == c'b':
        return layout_set(out, KIND_BOOL, 0, 2, 2, 0)
    if first == c'c':
        return layout_set(out, KIND_I8, 1, 2, 2, 0)
    if first == c'C':
        return layout_set(out, KIND_U8, 1, 2, 2, 0)
    if first == c's':
        return layout_set(out, KIND_I16, 2, 2, 2, 0)
    if first == c'S':
        return layout_set(out, KIND_U16, 2, 2, 2, 0)
    if first == c'i':
        return layout_set(out, KIND_I32, 4, 2, 2, 0)
    if first == c'I':
        return layout_set(out, KIND_U32, 4, 2, 2, 0)
    if first == c'l':
        return layout_set(out, KIND_I64, 8, 2, 2, 0)
    if first == c'L':
        return layout_set(out, KIND_U64, 8, 2, 2, 0)
    if first == c'e':
        return layout_set(out, KIND_F16, 2, 2, 2, 0)
    if first == c'f':
        return layout_set(out, KIND_F32, 4, 2, 2, 0)
    if first == c'g':
        return layout_set(out, KIND_F64, 8, 2, 2, 0)
    if first == c'u' or first == c'z':
        return layout_set(out, KIND_UTF8, 0, 3, 3, 0)
    if first == c'U' or first == c'Z':
        return layout_set(out, KIND_LARGE_UTF8, 0, 3, 3, 0)
    return STATUS_TYPE


# ------------------------------------------------------------------ trees

cdef const char *node_check(const ArrowSchema *node, int depth) noexcept nogil:
    cdef Layout layout
    cdef int64_t i
    cdef const char *text
    if node == NULL:
        return b"a child of the schema is missing"
    if depth > DEPTH_MAX:
        return b"the type is nested more than 64 deep"
    if node.release == NULL:
        return b"the schema was released already: take a new capsule from its producer"
    if node.format == NULL:
        return b"the schema has no format string"
    if layout_of(node.format, &layout) != STATUS_OK:
        return b"the type has a format that Arrow does not define"
    if node.n_children < 0 or (node.n_children > 0 and node.children == NULL):
        return b"the schema has a bad number of children"
    if layout.n_children >= 0 and node.n_children != layout.n_children:
        return b"the type has the wrong number of children"
    if node.dictionary != NULL:
        if layout.kind < KIND_I8 or layout.kind > KIND_U64 or node.format[0] == c't':
            return b"the indices of the dictionary are not integers"
        if node.dictionary.dictionary != NULL:
            return b"the type is a dictionary of a dictionary, which is not supported: decode one of them first"
        text = node_check(node.dictionary, depth + 1)
        if text != NULL:
            return text
    for i in range(node.n_children):
        text = node_check(node.children[i], depth + 1)
        if text != NULL:
            return text
    return NULL


cdef const char *schema_check(const ArrowSchema *schema, int *column) noexcept nogil:
    cdef int64_t i
    cdef const char *text
    column[0] = -1
    if schema.release == NULL:
        return b"the schema was released already: take a new capsule from its producer"
    if schema.format == NULL or strcmp(schema.format, "+s") != 0 or schema.dictionary != NULL:
        return b"not a table: the outermost type must be a struct (a record batch), not a single column"
    if schema.n_children < 0 or schema.n_children > (1 << 24) or (schema.n_children > 0 and schema.children == NULL):
        return b"the schema has a bad number of children"
    for i in range(schema.n_children):
        text = node_check(schema.children[i], 1)
        if text != NULL:
            column[0] = <int>i
            return text
    return NULL


cdef void node_release(ArrowSchema *node) noexcept nogil:
    cdef int64_t i
    for i in range(node.n_children):
        if node.children[i] != NULL:
            if node.children[i].release != NULL:        # NULL: its consumer has moved it away
                node.children[i].release(node.children[i])
            free(node.children[i])
    if node.dictionary != NULL:
        if node.dictionary.release != NULL:
            node.dictionary.release(node.dictionary)
        free(node.dictionary)
    free(node.private_data)
    node.release = NULL


cdef int64_t metadata_size(const char *metadata) noexcept nogil:
    """Bytes of an Arrow metadata block: int32 pairs, then int32 length and bytes of each key and value."""
    cdef int32_t pairs, size
    cdef int64_t at = 4
    cdef int64_t _i
    if metadata == NULL:
        return 0
    memcpy(&pairs, metadata, 4)
    for _i in range(2 * <int64_t>(pairs if pairs > 0 else 0)):
        memcpy(&size, metadata + at, 4)
        at += 4 + (size if size > 0 else 0)
    return at


cdef int node_make(ArrowSchema *out, const char *format, const char *name, const char *metadata,
                   int64_t n_metadata, int64_t flags, int64_t n_children, bint dictionary) noexcept nogil:
    """A node with room for its children (all still without a release) and its dictionary."""
    cdef size_t n_format = strlen(format) + 1
    cdef size_t n_name = strlen(name) + 1
    cdef size_t n_pointers = n_children * sizeof(void *)
    cdef int64_t i
    memset(out, 0, sizeof(ArrowSchema))
    cdef char *block = <char *>calloc(1, n_pointers + n_format + n_name + n_metadata)
    if block == NULL:
        return STATUS_NO_MEMORY
    out.private_data = block
    out.children = <ArrowSchema **>block if n_children > 0 else NULL
    memcpy(block + n_pointers, format, n_format)
    out.format = block + n_pointers
    memcpy(block + n_pointers + n_format, name, n_name)
    out.name = block + n_pointers + n_format
    if n_metadata > 0:
        memcpy(block + n_pointers + n_format + n_name, metadata, n_metadata)
        out.metadata = block + n_pointers + n_format + n_name
    out.flags = flags
    out.n_children = n_children
    out.release = node_release
    for i in range(n_children):
        out.children[i] = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
        if out.children[i] == NULL:
            node_release(out)
            return STATUS_NO_MEMORY
    if dictionary:
        out.dictionary = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
        if out.dictionary == NULL:
            node_release(out)
            return STATUS_NO_MEMORY
    return STATUS_OK


cdef inline const char *name_of(const ArrowSchema *node) noexcept nogil:
    cdef const char *name = node.name
    if name == NULL:
        name = ""
    return name


cdef int schema_copy(ArrowSchema *out, const ArrowSchema *source) noexcept nogil:
    cdef int64_t i
    cdef int status = node_make(out, source.format, name_of(source), source.metadata, metadata_size(source.metadata),
                                source.flags, source.n_children, source.dictionary != NULL)
    if status != STATUS_OK:
        return status
    for i in range(source.n_children):
        status = schema_copy(out.children[i], source.children[i])
        if status != STATUS_OK:
            node_release(out)
            return status
    if source.dictionary != NULL:
        status = schema_copy(out.dictionary, source.dictionary)
        if status != STATUS_OK:
            node_release(out)
    return status


# ------------------------------------------------------------------ comparison

cdef inline char string_family(const char *format) noexcept nogil:
    """'u' for the three layouts of utf8, 'z' for those of binary, else 0."""
    if format[0] == c'v':
        return format[1]
    if format[0] == c'u' or format[0] == c'U':
        return c'u'
    if format[0] == c'z' or format[0] == c'Z':
        return c'z'
    return 0


cdef bint format_equal(const char *a, const char *b) noexcept nogil:
    cdef int64_t pa, sa, ba, pb, sb, bb
    if strcmp(a, b) == 0:
        return True
    if a[0] == c'd' and b[0] == c'd':       # "d:38,10" and "d:38,10,128" are one type
        decimal_parts(a, &pa, &sa, &ba)
        decimal_parts(b, &pb, &sb, &bb)
        return pa == pb and sa == sb and ba == bb
    return False


cdef inline const ArrowSchema *values_of(const ArrowSchema *node) noexcept nogil:
    if node.dictionary != NULL:
        return node.dictionary
    return node


cdef bint type_compatible(const ArrowSchema *expected, const ArrowSchema *given) noexcept nogil:
    cdef const ArrowSchema *a = values_of(expected)
    cdef const ArrowSchema *b = values_of(given)
    cdef char family = string_family(a.format)
    cdef int64_t i
    cdef bint named
    if family != 0:
        return string_family(b.format) == family
    if (expected.dictionary == NULL) != (given.dictionary == NULL):
        return False
    if not format_equal(a.format, b.format) or a.n_children != b.n_children:
        return False
    named = a.format[0] == c'+' and (a.format[1] == c's' or a.format[1] == c'u')
    for i in range(a.n_children):
        if named and strcmp(name_of(a.children[i]), name_of(b.children[i])) != 0:
            return False
        if not type_compatible(a.children[i], b.children[i]):
            return False
    return True


cdef bint schema_compatible(const ArrowSchema *expected, const ArrowSchema *given) noexcept nogil:
    cdef int64_t i
    if expected.n_children != given.n_children:
        return False
    for i in range(expected.n_children):
        if strcmp(name_of(expected.children[i]), name_of(given.children[i])) != 0:
            return False
        if not type_compatible(expected.children[i], given.children[i]):
            return False
    return True


cdef bint schema_same(const ArrowSchema *a, const ArrowSchema *b) noexcept nogil:
    cdef int64_t i, size
    if a.n_children != b.n_children or a.flags != b.flags or (a.dictionary == NULL) != (b.dictionary == NULL):
        return False
    if strcmp(a.format, b.format) != 0 or strcmp(name_of(a), name_of(b)) != 0:
        return False
    if a.metadata != b.metadata:
        size = metadata_size(a.metadata)
        if size != metadata_size(b.metadata) or memcmp(a.metadata, b.metadata, size) != 0:
            return False
    for i in range(a.n_children):
        if not schema_same(a.children[i], b.children[i]):
            return False
    return a.dictionary == NULL or schema_same(a.dictionary, b.dictionary)


# ------------------------------------------------------------------ Python's side

cdef void *capsule_pointer(object capsule, const char *name) except NULL:
    cdef const char *actual
    cdef str wanted = (<bytes>name).decode()
    if not PyCapsule_CheckExact(capsule):
        raise SchemaError(f"expected a PyCapsule '{wanted}', got {type(capsule).__name__}")
    if not PyCapsule_IsValid(capsule, name):
        actual = PyCapsule_GetName(capsule)
        found = (<bytes>actual).decode("utf-8", "replace") if actual != NULL else "no name"
        raise SchemaError(f"expected a PyCapsule named '{wanted}', got one named '{found}'")
    return PyCapsule_GetPointer(capsule, name)


cdef void capsule_release(object capsule) noexcept:
    cdef ArrowSchema *schema = <ArrowSchema *>PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


cdef str node_text(const char *text):
    return (<bytes>text).decode("utf-8", "replace")


cdef tuple tree_of(const ArrowSchema *node):
    """The schema as (format, name, metadata, flags, children, dictionary): what pickle keeps."""
    cdef int64_t i
    cdef int64_t size = metadata_size(node.metadata)
    return (
        <bytes>node.format, <bytes>name_of(node), (<const char *>node.metadata)[:size] if size > 0 else b"", node.flags,
        tuple([tree_of(node.children[i]) for i in range(node.n_children)]),
        tree_of(node.dictionary) if node.dictionary != NULL else None,
    )


cdef int tree_build(ArrowSchema *out, tuple tree) except -1:
    """`tree_of` backwards; on an exception `out` is released."""
    cdef bytes format, name, metadata
    cdef tuple children
    cdef int64_t i
    format, name, metadata, flags, children, dictionary = tree
    if b"\0" in format or b"\0" in name:
        raise SchemaError(f"a column's name or format contains a NUL character: {name!r}")
    if node_make(out, format, name, <const char *>metadata, len(metadata), flags, len(children),
                 dictionary is not None) != STATUS_OK:
        raise MemoryError("out of memory: a schema")
    try:
        for i in range(len(children)):
            tree_build(out.children[i], children[i])
        if dictionary is not None:
            tree_build(out.dictionary, dictionary)
    except BaseException:
        out.release(out)
        raise
    return 0


def _schema_from_tree(tree):
    """Rebuilds a pickled Schema."""
    cdef ArrowSchema built
    tree_build(&built, tree)
    try:
        return Schema.copy_of(&built)
    finally:
        built.release(&built)


cdef bytes layout_key(const ArrowSchema *node):
    """The formats of a schema, those inside columns too."""
    cdef int64_t i
    cdef list parts = [<bytes>node.format]
    for i in range(node.n_children):
        parts.append(layout_key(node.children[i]))
    if node.dictionary != NULL:
        parts.append(layout_key(node.dictionary))
    return b"(" + b" ".join(parts) + b")"


cdef class Schema:
    """The names, types and order of the columns of a stream: an Arrow struct schema, owned and immutable.

    `names`, `formats` and `kinds` are tuples with one entry a column: the name, the Arrow format string ("l",
    "u", "tsu:UTC"; of the values for a dictionary) and the number of the core's physical kind (`KINDS`).
    `layout` (bytes) is equal for schemas whose data lie in memory alike, whatever their names and metadata.
    It speaks the Arrow PyCapsule interface (`__arrow_c_schema__`), compares, hashes and pickles by content.

    Example:
        >>> Schema.from_fields(["ts", "amount"], ["tsu:UTC", "g"])
        Schema(ts: tsu:UTC, amount: g)
    """

    def __cinit__(self):
        memset(&self.c, 0, sizeof(ArrowSchema))

    def __init__(self):
        raise TypeError("use Schema.from_arrow or Schema.from_fields")

    def __dealloc__(self):
        if self.c.release != NULL:
            self.c.release(&self.c)

    @staticmethod
    cdef Schema copy_of(const ArrowSchema *source):
        cdef int column
        cdef int64_t i
        cdef Layout layout
        cdef const ArrowSchema *node
        cdef const ArrowSchema *value
        cdef const char *text = schema_check(source, &column)
        if text != NULL:
            where = ""
            if column >= 0 and source.children[column] != NULL and source.children[column].release != NULL:
                node = source.children[column]
                where = f"column '{node_text(name_of(node))}'"
                if node.format != NULL:
                    where += f" (Arrow format '{node_text(node.format)}')"
                where += ": "
            elif column < 0 and source.release != NULL and source.format != NULL:
                where = f"Arrow format '{node_text(source.format)}': "
            raise SchemaError(where + node_text(text))
        cdef Schema self = Schema.__new__(Schema)
        if schema_copy(&self.c, source) != STATUS_OK:
            raise MemoryError("out of memory: a schema")
        names = []
        formats = []
        kinds = []
        for i in range(self.c.n_children):
            node = self.c.children[i]
            value = values_of(node)
            layout_of(value.format, &layout)
            try:
                names.append((<bytes>node.name).decode())
                formats.append((<bytes>value.format).decode())
            except UnicodeDecodeError:
                raise SchemaError(f"column {i}: its name {<bytes>node.name!r} is not UTF-8") from None
            kinds.append(layout.kind)
        self.names = tuple(names)
        self.formats = tuple(formats)
        self.kinds = tuple(kinds)
        self.layout = layout_key(&self.c)
        return self

    @staticmethod
    def from_arrow(data):
        """The schema of anything that has `__arrow_c_schema__` (a pyarrow or Polars schema, a record batch).

        Raises:
            SchemaError: it is not a struct schema, was released, or has a type that Arrow does not define.
            TypeError: it does not speak the interface.

        Example:
            >>> import pyarrow as pa
            >>> Schema.from_arrow(pa.schema([("price", pa.float64())])).names
            ('price',)
        """
        if isinstance(data, Schema):
            return data
        export = getattr(data, "__arrow_c_schema__", None)
        if export is None:
            raise TypeError(f"a schema must have __arrow_c_schema__; {type(data).__name__} has not")
        capsule = export()
        return Schema.copy_of(<const ArrowSchema *>capsule_pointer(capsule, "arrow_schema"))

    @staticmethod
    def from_fields(names, formats, bint nullable=True):
        """A schema of plain columns from their names and Arrow format strings ("l", "u", "tsu:UTC", "d:38,10").

        Raises:
            SchemaError: a format is unknown or nested, or the two lists differ in length.

        Example:
            >>> Schema.from_fields(["n"], ["l"]).formats
            ('l',)
        """
        names = tuple(names)
        formats = tuple(formats)
        if len(names) != len(formats):
            raise SchemaError(f"{len(names)} names but {len(formats)} formats")
        flags = ARROW_FLAG_NULLABLE if nullable else 0
        children = tuple([(format.encode(), name.encode(), b"", flags, (), None)
                          for name, format in zip(names, formats)])
        return _schema_from_tree((b"+s", b"", b"", 0, children, None))

    def accepts(self, data):
        """Whether batches of `data` (a Schema, or anything with a `.schema` that is one) fit this schema.

        The same columns in the same order with the same logical types: utf8, large_utf8, utf8_view and
        dictionaries of them are interchangeable, so are the binaries; nullability and metadata are ignored.

        Example:
            >>> Schema.from_fields(["k"], ["u"]).accepts(Schema.from_fields(["k"], ["vu"]))
            True
        """
        cdef Schema other = data if isinstance(data, Schema) else data.schema
        return schema_compatible(&self.c, &other.c)

    def mismatch(self, data):
        """What `accepts` refuses, in words; the empty string when it accepts.

        Example:
            >>> Schema.from_fields(["k"], ["u"]).mismatch(Schema.from_fields(["k"], ["l"]))
            "column 'k' has Arrow type 'l', expected 'u'"
        """
        cdef Schema other = data if isinstance(data, Schema) else data.schema
        cdef int64_t i
        if schema_compatible(&self.c, &other.c):
            return ""
        missing = [name for name in self.names if name not in other.names]
        surplus = [name for name in other.names if name not in self.names]
        if missing or surplus:
            said = [f"column{'s' if len(some) > 1 else ''} {', '.join(map(repr, some))} {verb}"
                    for some, verb in ((missing, "missing"), (surplus, "not expected")) if some]
            return "; ".join(said)
        if self.names != other.names:
            return f"the columns are in another order: {', '.join(other.names)}; expected {', '.join(self.names)}"
        for i in range(self.c.n_children):
            if not type_compatible(self.c.children[i], other.c.children[i]):
                break
        was, now = self.formats[i], other.formats[i]
        if was == now and now[0] == "+":
            return f"column '{self.names[i]}' (Arrow type '{now}') differs in its inner types"
        if self.c.children[i].dictionary != NULL:
            was += "' in a dictionary '" + node_text(self.c.children[i].format)
        if other.c.children[i].dictionary != NULL:
            now += "' in a dictionary '" + node_text(other.c.children[i].format)
        return f"column '{self.names[i]}' has Arrow type '{now}', expected '{was}'"

    def __arrow_c_schema__(self):
        """A new "arrow_schema" capsule with a deep copy of this schema."""
        cdef ArrowSchema *copy = <ArrowSchema *>malloc(sizeof(ArrowSchema))
        if copy == NULL or schema_copy(copy, &self.c) != STATUS_OK:
            free(copy)
            raise MemoryError("out of memory: a schema")
        return PyCapsule_New(copy, "arrow_schema", capsule_release)

    def __len__(self):
        return self.c.n_children

    def __eq__(self, other):
        return isinstance(other, Schema) and schema_same(&self.c, &(<Schema>other).c)

    def __hash__(self):
        return hash((self.names, self.formats))

    def __reduce__(self):
        return _schema_from_tree, (tree_of(&self.c),)

    def __repr__(self):
        return f"Schema({', '.join([f'{n}: {f}' for n, f in zip(self.names, self.formats)])})"
