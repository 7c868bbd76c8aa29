"""Precedence: how tightly each form of an expression binds, from loose to tight.

The parser reads by these levels and the writer sets parentheses by them, so that what is written is read back as
the same tree. As in SQL a predicate does not chain (`a < b < c` is an error), || is looser than + and -, and
AT TIME ZONE, :: and […] are tighter than a sign.
"""

from __future__ import annotations

OR, AND, NOT, PREDICATE, CONCAT, SUM, PRODUCT, SIGN, POSTFIX, ATOM = range(10)
ARITHMETIC = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "%": PRODUCT}
