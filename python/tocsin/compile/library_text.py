"""Texts in the library: each function takes arrays of one length and gives one; NULL for NULL.

Lengths and places count code points. Regular expressions are RE2's, which take time linear in the text.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

Arrays = list[pa.Array]


def regex_fault(regex: str) -> str:
    """What is wrong with a regular expression; '' for nothing."""
    try:
        pc.match_substring_regex(pa.array([""]), regex)
    except pa.ArrowInvalid as wrong:
        return str(wrong).removeprefix("Invalid regular expression: ")
    return ""


def quoted_regex(text: str) -> str:
    """A regular expression that matches just `text`."""
    return "".join(c if c.isalnum() or ord(c) > 127 else f"\\x{{{ord(c):x}}}" for c in text)


def _substring(args: Arrays, type: pa.DataType, start: int, length: int | None) -> pa.Array:
    if start == 0 or (length is not None and length <= 0):
        return _empty(args[0], pc.is_valid(args[0]))
    begin = start - 1 if start > 0 else start
    stop = None if length is None else begin + length
    if start < 0 and stop is not None and stop >= 0:
        stop = None
    found = pc.utf8_slice_codeunits(args[0], start=begin, stop=stop)
    if start < 0:  # one that begins before the text has nothing
        found = _empty(found, pc.less(pc.utf8_length(args[0]), -start))
    return found


def _empty(array: pa.Array, where: pa.Array) -> pa.Array:
    return pc.if_else(where, "", array)


def _strpos(args: Arrays, type: pa.DataType, part: str) -> pa.Array:
    found = pc.extract_regex(args[0], f"(?s)\\A(?P<before>.*?){quoted_regex(part)}")
    place = pc.add(pc.utf8_length(found.field("before")), 1)
    # A row without a match is NULL as a whole; its field need not be.
    place = pc.if_else(pc.is_valid(found), place, 0)
    return pc.if_else(pc.is_valid(args[0]), pc.cast(place, type), pa.scalar(None, type))


def _pad(pad: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
    def padded(args: Arrays, type: pa.DataType, size: int, letter: str) -> pa.Array:
        return pc.utf8_slice_codeunits(pad(args[0], width=size, padding=letter), start=0, stop=size)

    return padded


def _split_part(args: Arrays, type: pa.DataType, by: str, index: int) -> pa.Array:
    from tocsin.compile.library_list import element

    parts = pc.split_pattern(args[0], by)
    return element([parts, pa.repeat(pa.scalar(index), len(parts))], type)


def _named(regex: str) -> str:
    """`regex` with its groups named g1, g2, … and the whole g0, as pyarrow wants it."""
    made, i, group, inside = "", 0, 0, False
    while i < len(regex):
        letter = regex[i]
        if letter == "\\":
            made += regex[i : i + 2]
            i += 2
            continue
        if letter == "[" and not inside:
            inside = True
            # A bracket right behind the opening one, or its ^, is a letter of the class.
            ahead = 2 if regex[i + 1 : i + 2] == "^" else 1
            ahead += regex[i + ahead : i + ahead + 1] == "]"
            made += regex[i : i + ahead]
            i += ahead
            continue
        if letter == "]":
            inside = False
        if letter == "(" and not inside:
            named = regex.startswith(("(?P<", "(?<"), i)
            if regex[i + 1 : i + 2] != "?" or named:
                group += 1
                made += f"(?P<g{group}>"
                i = regex.index(">", i) + 1 if named else i + 1
                continue
        made += letter
        i += 1
    return f"(?P<g0>{made})"


def _regexp_extract(args: Arrays, type: pa.DataType, regex: str, group: int) -> pa.Array:
    found = pc.extract_regex(args[0], _named(regex))
    return pc.if_else(pc.is_valid(found), found.field(f"g{group}"), pa.scalar(None, pa.string()))


def _concat(args: Arrays, type: pa.DataType) -> pa.Array:
    return pc.binary_join_element_wise(*args, "")


TEXTS: dict[str, Callable[..., pa.Array]] = {
    "lower": lambda a, t: pc.utf8_lower(a[0]),
    "upper": lambda a, t: pc.utf8_upper(a[0]),
    "reverse": lambda a, t: pc.utf8_reverse(a[0]),
    "length": lambda a, t: pc.utf8_length(a[0]),
    "substring": _substring,
    "slice": lambda a, t, start, stop: pc.utf8_slice_codeunits(a[0], start=start, stop=stop),
    "trim": lambda a, t, letters: pc.utf8_trim(a[0], letters),
    "ltrim": lambda a, t, letters: pc.utf8_ltrim(a[0], letters),
    "rtrim": lambda a, t, letters: pc.utf8_rtrim(a[0], letters),
    "replace": lambda a, t, old, new: a[0] if not old else pc.replace_substring(a[0], old, new),
    "concat": _concat,
    "ends_with": lambda a, t, affix: pc.ends_with(a[0], affix),
    "contains_text": lambda a, t, part: pc.match_substring(a[0], part),
    "strpos": _strpos,
    "lpad": _pad(pc.utf8_lpad),
    "rpad": _pad(pc.utf8_rpad),
    "split_part": _split_part,
    "regexp_like": lambda a, t, regex: pc.match_substring_regex(a[0], regex),
    "regexp_extract": _regexp_extract,
    "regexp_replace": lambda a, t, regex, new: pc.replace_substring_regex(a[0], regex, new),
}
