"""Casts in the library: texts, decimals, and numbers as text; see library_text for the form.

A cast gives NULL where the value cannot be one of the type; the "check" around it makes that a fault (functions.py).
pyarrow casts a whole column or none, so a column that it refuses is cast value by distinct value, in halves.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from tocsin.compile.ir import unit_ns

Arrays = list[pa.Array]
_WIDE = pa.decimal256(76, 38)

_INTEGER = r"^[+-]?[0-9]+$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?"
_ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"


def tolerant(array: pa.Array, type: pa.DataType, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """convert(array), with NULL for the values that it refuses."""
    try:
        return convert(array)
    except pa.ArrowInvalid:
        pass
    coded = array.dictionary_encode()
    done: list[pa.Array] = []
    stack = [coded.dictionary]
    while stack:
        part = stack.pop()
        try:
            done.append(convert(part))
        except pa.ArrowInvalid:
            if len(part) == 1:
                done.append(pa.nulls(1, type))
            else:
                half = len(part) // 2
                stack += [part.slice(half), part.slice(0, half)]
    return pa.concat_arrays(done).take(coded.indices)


def _only(array: pa.Array, regex: str) -> pa.Array:
    """The texts that match; NULL for the others."""
    return pc.if_else(pc.match_substring_regex(array, regex), array, pa.scalar(None, pa.string()))


def _parse(args: Arrays, type: pa.DataType) -> pa.Array:
    t, text = pa.types, args[0]
    if t.is_binary(type):
        return text.cast(type)
    text = pc.utf8_trim_whitespace(text)
    if t.is_boolean(type):
        return _parse_boolean(text)
    if t.is_integer(type):
        text = pc.utf8_ltrim(_only(text, _INTEGER), "+")
    elif t.is_floating(type):
        return _parse_double(text, type)
    elif t.is_decimal(type):
        text = pc.utf8_ltrim(_only(text, _NUMBER), "+")
        wide = tolerant(text, _WIDE, lambda part: part.cast(_WIDE))
        return _to_decimal(wide, type)
    elif t.is_date(type):
        text = _only(_two_digits(text), f"^{_DATE}$")
    elif t.is_time(type):
        text = pc.binary_join_element_wise("1970-01-01", _cut(_only(text, f"^{_TIME}$"), type), " ")
        point = pa.timestamp(type.unit)
        return tolerant(text, type, lambda part: part.cast(point).cast(type))
    else:
        zone = f" ?{_ZONE}" if type.tz else ""
        text = pc.replace_substring_regex(_two_digits(text), " ?(UTC|utc|z)$", "Z")
        text = _cut(_only(text, f"^{_DATE}([ T]{_TIME})?{zone}$"), type)
        text = pc.replace_substring_regex(text, f" ?{_ZONE}$", r"\1") if type.tz else text
        if type.tz:  # a date alone has no place for an offset
            text = pc.replace_substring_regex(text, f"^({_DATE}){_ZONE}$", r"\1 00:00:00\2")
    return tolerant(text, type, lambda part: part.cast(type))


def _two_digits(text: pa.Array) -> pa.Array:
    """2024-3-1 as 2024-03-01."""
    text = pc.replace_substring_regex(text, r"^([0-9]{4})-([0-9])-", r"\1-0\2-")
    return pc.replace_substring_regex(text, r"^([0-9]{4}-[0-9]{2})-([0-9])([^0-9]|$)", r"\1-0\2\3")


def _cut(text: pa.Array, type: pa.DataType) -> pa.Array:
    """Without the digits of a fraction that the unit has no place for."""
    digits = {10**9: 0, 10**6: 3, 10**3: 6, 1: 9}[unit_ns(type) or 1]
    return pc.replace_substring_regex(text, rf"\.([0-9]{{{digits}}})[0-9]*", r".\1" if digits else "")


def _parse_boolean(text: pa.Array) -> pa.Array:
    low = pc.utf8_lower(text)
    yes = pc.is_in(low, pa.array(["true", "t", "1"]))
    known = pc.is_in(low, pa.array(["true", "t", "1", "false", "f", "0"]))
    return pc.if_else(known, yes, pa.scalar(None, pa.bool_()))


def _parse_double(text: pa.Array, type: pa.DataType) -> pa.Array:
    low = pc.utf8_ltrim(pc.utf8_lower(text), "+")
    infinite = pc.match_substring_regex(low, r"^-?inf(inity)?$")
    number = pc.if_else(pc.or_(infinite, pc.equal(low, "nan")), low, pc.utf8_ltrim(_only(text, _NUMBER), "+"))
    return tolerant(number, type, lambda part: part.cast(type))


def _rounded(array: pa.Array, scale: int) -> pa.Array:
    return array if array.type.scale <= scale else pc.round(array, scale, round_mode="half_towards_infinity")


def _to_decimal(array: pa.Array, type: pa.DataType) -> pa.Array:
    return tolerant(_rounded(array, type.scale), type, lambda part: part.cast(type))


def _cast(args: Arrays, type: pa.DataType) -> pa.Array:
    """Between decimals and numbers."""
    array, t = args[0], pa.types
    if t.is_decimal(array.type):
        if t.is_decimal(type):
            return _to_decimal(array, type)
        if t.is_integer(type):
            array = _rounded(array, 0)
        return tolerant(array, type, lambda part: part.cast(type))
    if t.is_integer(array.type):
        array = array.cast(pa.decimal128(20, 0))
        return _to_decimal(array, type)
    return tolerant(array.cast(pa.float64()), type, lambda part: part.cast(type))


def _text(args: Arrays, type: pa.DataType) -> pa.Array:
    array = args[0]
    if not pa.types.is_floating(array.type):
        return array.cast(type)
    text = array.cast(type)
    text = pc.replace_substring_regex(text, r"^(-?[0-9]+)$", r"\1.0")
    text = pc.replace_substring_regex(text, r"inf$", "Infinity")
    return pc.replace_substring_regex(text, r"^-?nan$", "NaN")


CASTS: dict[str, Callable[..., pa.Array]] = {"parse": _parse, "cast": _cast, "text": _text}
