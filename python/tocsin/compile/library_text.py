"""Texts in the library: each function takes pyarrow arrays of one length and gives one; NULL for NULL.

Counts and places are of code points. Regular expressions are RE2's, which take time linear in the text.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def regex_fault(regex: str) -> str:
    """What is wrong with a regular expression; '' for nothing."""
    try:
        pc.match_substring_regex(pa.array([""]), regex)
    except pa.ArrowInvalid as wrong:
        return str(wrong).removeprefix("Invalid regular expression: ")
    return ""
