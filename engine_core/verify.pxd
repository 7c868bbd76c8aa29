"""Checks a foreign ArrowArray against its (checked) schema and fills the Column views that kernels read."""
from libc.stdint cimport int64_t
from .arrow_abi cimport ArrowArray, ArrowSchema
from .column cimport Column
from .status cimport Fault

# `columns` and `dictionaries` have room for schema.n_children views each. On failure the fault's `item` is the
# column at fault (or -1: the array as a whole) and `row` its row where there is one.
cdef int verify_struct(const ArrowArray *array, const ArrowSchema *schema, Column *columns, Column *dictionaries,
                       Fault *fault) noexcept nogil
