"""The oracle's row patterns: text -> a small program, whose paths in order ARE the preferment order.

A program is a list of instructions, and a candidate match is a path through it:

    ("row", "A", x)    consume one row, mapped to A, then go on at the next instruction; x: inside {- -}
    ("split", x, y)    two ways: everything by way of x is preferred to everything by way of y
    ("jump", x)        go on at x
    ("start",)         go on only before the first row of the partition (^)
    ("end",)           go on only after its last row ($)
    ("done",)          the pattern is complete

The paths of ISO/IEC 19075-5's preferment order come from these translations (greedy; a reluctant quantifier
swaps the two ways of its splits):

    P Q         P, then Q                      P | Q     split(P, Q), P first
    P{n}        P written out n times          P{n,m}    P n times, then m-n times "split(P, out)"
    P*          split(P, out); P; split(P, out)          (the second split goes back to the same P)
    P{n,}       P n times; split(back to the last P, out)         P+ is P{1,}      P? is P{0,1}
    PERMUTE(P, Q, R)    P Q R | P R Q | Q P R | Q R P | R P Q | R Q P: lexicographically, by their places
    {- P -}             P, its rows marked as excluded

EMPTY ITERATIONS. A path that comes back to an instruction which it has already passed since the last row it
consumed is cut there (it would repeat itself for ever). With these translations, which are those of Trino,
that decides every quantified pattern which can match nothing: an iteration that consumed no row never leads
to a further one. Where the empty iteration is the first, the path leaves the loop; after an iteration that
did consume rows, an empty one is not a path at all (the path without it leads to the same place). Therefore
`(()|A)* B` prefers B at once, but once in the loop prefers another A to B.

Limits: bounds are written out, so they have to be small. `{0}`, `{,0}` and m < n are errors, as in Trino.
"""

from __future__ import annotations

import itertools
import re

from oracle_expression import OracleError

Instruction = tuple
Program = list[Instruction]

_TOKEN = re.compile(r'\s*("(?:[^"]|"")+"|[A-Za-z_]\w*|\d+|\{-|-\}|[(){}|*+?,^$])')
_BOUNDS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def _tokens(text: str) -> list[str]:
    out, at, text = [], 0, text.rstrip()
    while at < len(text):
        m = _TOKEN.match(text, at)
        if m is None:
            raise OracleError(f"cannot read {text[at:]!r} in the pattern")
        out.append(m.group(1))
        at = m.end()
    return out


class _Parser:
    """alternation = concatenation {"|" concatenation};  concatenation = factor {factor};
    factor = primary [quantifier ["?"]];  primary = variable | "(" alternation ")" | "(" ")" | "^" | "$"
    | "{-" alternation "-}" | "PERMUTE" "(" alternation {"," alternation} ")"."""

    def __init__(self, text: str) -> None:
        self.toks, self.at = [*_tokens(text), ""], 0

    def take(self, *wanted: str) -> str:
        found = self.toks[self.at]
        if found and found in wanted:
            self.at += 1
            return found
        return ""

    def whole(self) -> tuple:
        tree = self.alternation()
        if self.toks[self.at]:
            raise OracleError(f"unexpected {self.toks[self.at]!r} in the pattern")
        return tree

    def alternation(self) -> tuple:
        parts = [self.concatenation()]
        while self.take("|"):
            parts.append(self.concatenation())
        return parts[0] if len(parts) == 1 else ("alternation", parts)

    def concatenation(self) -> tuple:
        parts = [self.factor()]
        while self.toks[self.at] and self.toks[self.at] not in ("|", ")", "-}", ","):
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else ("concatenation", parts)

    def factor(self) -> tuple:
        tree = self.primary()
        sign = self.take("*", "+", "?", "{")
        if not sign:
            return tree
        low, high = _BOUNDS[sign] if sign != "{" else self.bounds()
        if high is not None and (high < 1 or high < low):
            raise OracleError(f"quantifier {{{low},{high}}}")
        return ("quantified", tree, low, high, not self.take("?"))

    def bounds(self) -> tuple[int, int | None]:
        low = self.number()
        if self.take("}"):
            return self.sure(low), self.sure(low)
        if not self.take(","):
            raise OracleError("expected , or } in a quantifier")
        high = self.number()
        if not self.take("}"):
            raise OracleError("expected } in a quantifier")
        return low or 0, high

    def number(self) -> int | None:
        if self.toks[self.at].isdigit():
            self.at += 1
            return int(self.toks[self.at - 1])
        return None

    @staticmethod
    def sure(number: int | None) -> int:
        if number is None:
            raise OracleError("empty quantifier {}")
        return number

    def primary(self) -> tuple:
        if self.take("("):
            if self.take(")"):
                return ("concatenation", [])
            tree = self.alternation()
            if not self.take(")"):
                raise OracleError("expected ) in the pattern")
            return tree
        if self.take("{-"):
            tree = self.alternation()
            if not self.take("-}"):
                raise OracleError("expected -} in the pattern")
            return ("exclusion", tree)
        if self.take("^"):
            return ("start",)
        if self.take("$"):
            return ("end",)
        token = self.toks[self.at]
        if token.upper() == "PERMUTE" and self.toks[self.at + 1] == "(":
            self.at += 2
            parts = [self.alternation()]
            while self.take(","):
                parts.append(self.alternation())
            if not self.take(")"):
                raise OracleError("expected ) after PERMUTE")
            return ("alternation", [("concatenation", list(p)) for p in itertools.permutations(parts)])
        if not re.match(r'["A-Za-z_]', token):
            raise OracleError(f"expected a variable, found {token!r}")
        self.at += 1
        return ("row", token[1:-1].replace('""', '"') if token[0] == '"' else token)


def _emit(tree: tuple, code: Program, excluded: bool = False) -> None:
    kind = tree[0]
    if kind == "row":
        code.append((*tree, excluded))
    elif kind in ("start", "end"):
        code.append(tree)
    elif kind == "exclusion":
        _emit(tree[1], code, True)
    elif kind == "concatenation":
        for part in tree[1]:
            _emit(part, code, excluded)
    elif kind == "alternation":
        jumps = []
        for part in tree[1][:-1]:
            split = len(code)
            code.append(())  # set below, once its second way is known
            _emit(part, code, excluded)
            jumps.append(len(code))
            code.append(())
            code[split] = ("split", split + 1, len(code))
        _emit(tree[1][-1], code, excluded)
        for jump in jumps:
            code[jump] = ("jump", len(code))
    else:
        _, body, low, high, greedy = tree
        _emit_quantified(body, low, high, greedy, code, excluded)


def _emit_quantified(
    body: tuple, low: int, high: int | None, greedy: bool, code: Program, excluded: bool
) -> None:
    def split(stay: int, out: int) -> Instruction:
        return ("split", stay, out) if greedy else ("split", out, stay)

    last = len(code)
    for _ in range(low):
        last = len(code)
        _emit(body, code, excluded)
    pending = []  # splits whose way out is the end of the whole quantified pattern
    for _ in range(1 if high is None and low == 0 else (high or low) - low):
        pending.append(len(code))
        code.append(())
        last = len(code)
        _emit(body, code, excluded)
    if high is None:
        code.append(split(last, len(code) + 1))
    for at in pending:
        code[at] = split(at + 1, len(code))


def compile_pattern(text: str) -> Program:
    code: Program = []
    _emit(_Parser(text).whole(), code)
    return [*code, ("done",)]


def variables(program: Program) -> list[str]:
    """The primary variables, in order of first appearance."""
    return list(dict.fromkeys(i[1] for i in program if i[0] == "row"))


def ways(program: Program, at: int, at_start: bool = False) -> list[tuple[int, bool]]:
    """The "row" and "done" instructions that can be reached from `at` without consuming, preferred first.

    Each with whether `$` stands on the way, so that it is one only at the end of the partition; a row that comes
    after `$` is none. `at_start`: whether this is before the first row, so that `^` lets pass.
    """

    def walk(pc: int, passed: frozenset[int], behind_end: bool) -> list[tuple[int, bool]]:
        if pc in passed:
            return []
        kind = program[pc][0]
        if kind == "done" or (kind == "row" and not behind_end):
            return [(pc, behind_end)]
        if kind == "row" or (kind == "start" and not at_start):
            return []
        targets = program[pc][1:] if kind in ("split", "jump") else (pc + 1,)
        passed |= {pc}
        return [way for t in targets for way in walk(t, passed, behind_end or kind == "end")]

    found = list(dict.fromkeys(walk(at, frozenset(), False)))  # a second way to the same place adds nothing
    # Nor does an end behind `$` where the end is next in any case: both are the same match.
    return [way for i, way in enumerate(found) if not (way[1] and (way[0], False) in found[i + 1 : i + 2])]
