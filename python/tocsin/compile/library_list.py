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


def _array_join(args: Arrays, type: pa.DataType) -> pa.Array:
    array = _listed(args[0])
    parents, values = _elements(array)
    there = values.is_valid()
    kept = np.bincount(parents[there.to_numpy(zero_copy_only=False)], minlength=len(array))
    offsets = np.concatenate(([0], np.cumsum(kept))).astype(np.int32)
    mask = pc.is_null(array)
    texts = pa.ListArray.from_arrays(pa.array(offsets), values.filter(there).cast(pa.string()))
    joined = pc.binary_join(texts, args[1])
    return pc.if_else(mask, pa.scalar(None, type), joined)


def _elements(array: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Of the elements of all lists: which row each is of, and they themselves."""
    values = pc.list_flatten(array)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return pc.list_parent_indices(array).to_numpy(zero_copy_only=False).astype(np.int64), values


def _same_list(args: Arrays, type: pa.DataType, way: str) -> pa.Array:
    left, right = _listed(args[0]), _listed(args[1])
    sizes = [pc.fill_null(pc.list_value_length(a), -1).to_numpy(zero_copy_only=False) for a in (left, right)]
    pairs = (sizes[0] == sizes[1]) & (sizes[0] >= 0)
    places = np.flatnonzero(pairs)
    rows, x = _elements(left.take(pa.array(places)))
    _, y = _elements(right.take(pa.array(places)))
    same = pc.equal(x, y)
    if way == "alike":
        nulls = pc.and_(pc.is_null(x), pc.is_null(y))
        if pa.types.is_floating(x.type) and pa.types.is_floating(y.type):
            same = pc.or_kleene(same, pc.and_kleene(pc.is_nan(x), pc.is_nan(y)))
        same = pc.or_(pc.fill_null(same, False), nulls)
    differ, unknown = np.zeros(len(left), bool), np.zeros(len(left), bool)
    differ[places[rows[pc.fill_null(pc.invert(same), False).to_numpy(zero_copy_only=False)]]] = True
    unknown[places[rows[same.is_null().to_numpy(zero_copy_only=False)]]] = True
    null = (sizes[0] < 0) | (sizes[1] < 0)
    return pa.array(pairs & ~differ, mask=null | (unknown & ~differ))


LISTS: dict[str, Callable[..., pa.Array]] = {
    "cardinality": lambda a, t: pc.list_value_length(a[0]),
    "element": element,
    "within": _within,
    "array": _array,
    "contains": _contains,
    "array_join": _array_join,
    "same_list": _same_list,
    "is_null": lambda a, t: pc.is_null(a[0]),
    "is_not_null": lambda a, t: pc.is_valid(a[0]),
}
