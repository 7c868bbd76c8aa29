"""Arrays, and choices of what the kernel cannot hold, in the library; see library_text for the form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Arrays = list[pa.Array]


def _listed(array: pa.Array) -> pa.Array:
    """A list array with offsets."""
    if pa.types.is_fixed_size_list(array.type):
        return array.cast(pa.list_(array.type.value_type))
    return array


def element(args: Arrays, type: pa.DataType) -> pa.Array:
    """The index-th element, from 1, or from the end (-1); NULL beyond."""
    array = _listed(args[0])
    size = pc.cast(pc.list_value_length(array), pa.int64())
    index = pc.cast(args[1], pa.int64())
    begin = pc.cast(array.offsets.slice(0, len(array)), pa.int64())
    # -(2**63) has no negative, but is below every size.
    inside = pc.and_(pc.and_(pc.less_equal(index, size), pc.not_equal(index, 0)), pc.greater(index, -(2**62)))
    inside = pc.and_(inside, pc.greater_equal(index, pc.negate(size)))
    index = pc.if_else(inside, index, pa.scalar(None, pa.int64()))
    from_start = pc.if_else(pc.less(index, 0), pc.add(size, index), pc.subtract(index, 1))
    return array.values.take(pc.add(begin, from_start))


def _within(args: Arrays, type: pa.DataType) -> pa.Array:
    size = pc.cast(pc.list_value_length(args[0]), pa.int64())
    return pc.and_(pc.greater(args[1], 0), pc.less_equal(args[1], size))


def _array(args: Arrays, type: pa.DataType) -> pa.Array:
    n, width = len(args[0]), len(args)
    values = pa.concat_arrays(args)
    order = np.arange(width * n).reshape(width, n).T.ravel()
    return pa.ListArray.from_arrays(
        pa.array(np.arange(n + 1) * width, pa.int32()), values.take(pa.array(order))
    )


def _contains(args: Arrays, type: pa.DataType) -> pa.Array:
    array = _listed(args[0])
    rows = pc.list_parent_indices(array)
    values = pc.list_flatten(array)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    same = pc.equal(values, args[1].take(rows))
    at = rows.to_numpy(zero_copy_only=False).astype(np.int64)
    found, unknown = np.zeros(len(array), bool), np.zeros(len(array), bool)
    found[at[pc.fill_null(same, False).to_numpy(zero_copy_only=False)]] = True
    unknown[at[pc.is_null(same).to_numpy(zero_copy_only=False)]] = True
    null = pc.is_null(array).to_numpy(zero_copy_only=False)
    # NULL IN an empty array is FALSE in SQL's IN; CONTAINS is strict.
    null = null | pc.is_null(args[1]).to_numpy(zero_copy_only=False)
    return pa.array(found, mask=null | (unknown & ~found))


LISTS: dict[str, Callable[..., pa.Array]] = {
    "cardinality": lambda a, t: pc.list_value_length(a[0]),
    "element": element,
    "within": _within,
    "array": _array,
    "contains": _contains,
    "is_null": lambda a, t: pc.is_null(a[0]),
    "is_not_null": lambda a, t: pc.is_valid(a[0]),
}
