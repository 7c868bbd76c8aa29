"""Merge: the matches that several instances of an operator found -> one batch, in the order of one instance."""
from .batch cimport BatchC
from .operator cimport Operator
from .status cimport Fault

# `parts`: n batches of `operator`'s instances, none of them empty, each with the two columns by which they are merged behind
# the others; their references are taken over. NULL and a fault: no memory, and the matches are gone.
cdef BatchC *merge_matches(Operator operator, BatchC **parts, int n, Fault *fault) noexcept nogil
