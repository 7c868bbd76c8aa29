"""Schema: one owned Arrow struct schema, and what the core must know of a type by its format string."""
from libc.stdint cimport int32_t
from .arrow_abi cimport ArrowSchema

# What a format string says about an array's memory. `kind` is KIND_NONE for what kernels cannot read.
cdef struct Layout:
    int32_t kind
    int32_t width           # bytes per value of a fixed width kind, else 0
    int32_t buffers_min     # an array has buffers_min .. buffers_max buffers; a view has any number from 3
    int32_t buffers_max
    int32_t n_children      # -1: any

cdef int layout_of(const char *format, Layout *out) noexcept nogil     # STATUS_TYPE: not an Arrow format
# NULL, or a static text that says what is wrong with the schema; `*column` is the top-level child at fault, or -1.
cdef const char *schema_check(const ArrowSchema *schema, int *column) noexcept nogil
# Deep copy of a checked schema. STATUS_NO_MEMORY leaves `out` released.
cdef int schema_copy(ArrowSchema *out, const ArrowSchema *source) noexcept nogil
# Same columns, names, order and logical types: see Schema.accepts. One pass, no allocation.
cdef bint schema_compatible(const ArrowSchema *expected, const ArrowSchema *given) noexcept nogil
# Same in every detail, metadata and layouts included: data of `a` can be called data of `b`.
cdef bint schema_same(const ArrowSchema *a, const ArrowSchema *b) noexcept nogil


cdef class Schema:
    cdef ArrowSchema c
    cdef readonly tuple names       # of str
    cdef readonly tuple formats     # of str: Arrow format strings; of the values for a dictionary
    cdef readonly tuple kinds       # of int: Kind of the values
    cdef readonly bytes layout      # equal for schemas whose data lie in memory alike

    @staticmethod
    cdef Schema copy_of(const ArrowSchema *source)     # SchemaError if it is not a struct schema we know

# The pointer inside a capsule, not consumed; SchemaError when it is no such capsule.
cdef void *capsule_pointer(object capsule, const char *name) except NULL
