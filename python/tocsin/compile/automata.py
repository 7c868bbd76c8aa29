"""Automata: a row pattern -> positions and their ordered successors.

A position is one occurrence of a variable after bounded quantifiers were written out (`A{2,3}` has three).
`first` lists the positions a match can begin with, `follow[p]` those that can come after p, each from most to
least preferred by SQL's rules: the left alternative before the right, one more iteration before leaving if
the quantifier is greedy, after it if reluctant. MATCH (-1) in a list means that the match may end here; what
would stand after it can never be chosen and is cut. So the lists are the threads of a Pike machine, in order.

Method: the pattern becomes a program of positions, splits and jumps (Thompson), with `x*` as `(x+)?`, so that
an empty iteration ends a loop with the preference Trino gives it; a list is the depth-first closure of the
program from one point, where an instruction seen before is not entered again. Closures are shared: all
positions that lead to the same point have the same list.

Cost: linear in the written-out program, plus the closures; `A{1000}` is a chain of 1 000 lists of one entry,
`(A?){1000}` half a million entries. Limits are checked before the work or as it goes: POSITIONS_MAX,
INSTRUCTIONS_MAX, ENTRIES_MAX, STEPS_MAX; beyond one, PatternError says which.
"""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.language.pattern import Alternation, Quantified, RowPattern, Sequence, Variable
from tocsin.language.source import Source

MATCH = -1
POSITIONS_MAX = 65_000
INSTRUCTIONS_MAX = 400_000
ENTRIES_MAX = 2_000_000
STEPS_MAX = 6_000_000


@dataclass(frozen=True, slots=True)
class Automaton:
    """`variables[p]` is the variable of position p, by its number; see the top of the file for the rest."""

    variables: tuple[int, ...]
    first: tuple[int, ...]
    follow: tuple[tuple[int, ...], ...]

    @property
    def nullable(self) -> bool:
        """Whether the pattern can match no rows at all."""
        return MATCH in self.first


def build(pattern: RowPattern, variable_ids: dict[str, int], source: Source | None = None) -> Automaton:
    """The automaton of `pattern`, with variables numbered by `variable_ids`.

    Raises PatternError, with its place in `source`, if the automaton would be larger than the limits.

    >>> from tocsin.language.pattern import parse_pattern
    >>> build(parse_pattern("A B*?"), {"A": 0, "B": 1})
    Automaton(variables=(0, 1), first=(0,), follow=((-1,), (-1,)))
    >>> build(parse_pattern("A B* C"), {"A": 0, "B": 1, "C": 2}).follow
    ((1, 2), (1, 2), (-1,))
    """
    source = source or Source("")
    sizes: dict[int, tuple[int, int]] = {}
    positions, instructions = _size(pattern, sizes)
    if positions > POSITIONS_MAX or instructions > INSTRUCTIONS_MAX:
        raise source.error(
            f"the pattern is too large: written out it has {_count(positions)} variables and "
            f"{_count(instructions)} steps; at most {POSITIONS_MAX} and {INSTRUCTIONS_MAX} are possible",
            pattern.span,
        )
    program = _Program(variable_ids, sizes)
    program.emit(pattern)
    return program.close(pattern, source)


def _count(number: int) -> str:
    return str(number) if number < 10**12 else "over 10^12"


def _size(pattern: RowPattern, sizes: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many positions and instructions `pattern` comes to; noted for every node by its identity."""
    if isinstance(pattern, Variable):
        size = (1, 1)
    elif isinstance(pattern, Quantified):
        positions, instructions = _size(pattern.item, sizes)
        times = max(pattern.minimum, 1) if pattern.maximum is None else pattern.maximum
        splits = 2 if pattern.maximum is None else pattern.maximum - pattern.minimum
        size = (positions * times, instructions * times + splits) if positions else (0, 0)
    elif isinstance(pattern, (Sequence, Alternation)):
        of_items = [_size(item, sizes) for item in pattern.items]
        positions = sum(p for p, _ in of_items)
        between = 2 * (len(of_items) - 1) if isinstance(pattern, Alternation) else 0
        size = (positions, sum(i for _, i in of_items) + between) if positions else (0, 0)
    else:
        size = (0, 0)
    sizes[id(pattern)] = size
    return size


class _Program:
    """Instructions: `variable[i]` >= 0 is a position; else `targets[i]` lists where i leads, in order."""

    __slots__ = ("ids", "sizes", "targets", "variable")

    def __init__(self, ids: dict[str, int], sizes: dict[int, tuple[int, int]]) -> None:
        self.ids = ids
        self.sizes = sizes
        self.variable: list[int] = []
        self.targets: list[tuple[int, ...]] = []

    def _add(self, variable: int = -1) -> int:
        self.variable.append(variable)
        self.targets.append(())
        return len(self.variable) - 1

    def emit(self, pattern: RowPattern) -> None:
        """Appends the instructions of `pattern`; it is entered at its first and left past its last."""
        if self.sizes[id(pattern)][0] == 0:
            return  # no variable in it: it can only match nothing
        if isinstance(pattern, Variable):
            self._add(self.ids[pattern.name])
        elif isinstance(pattern, Sequence):
            for item in pattern.items:
                self.emit(item)
        elif isinstance(pattern, Alternation):
            self._alternation(pattern)
        elif isinstance(pattern, Quantified):
            self._quantified(pattern)

    def _alternation(self, pattern: Alternation) -> None:
        split = self._add()
        starts, jumps = [], []
        for item in pattern.items:
            starts.append(len(self.variable))
            self.emit(item)
            jumps.append(self._add())
        self.targets[split] = tuple(starts)
        for jump in jumps:
            self.targets[jump] = (len(self.variable),)

    def _quantified(self, pattern: Quantified) -> None:
        body = len(self.variable)
        for _ in range(pattern.minimum):
            body = len(self.variable)
            self.emit(pattern.item)
        splits = []
        if pattern.maximum is None:
            if pattern.minimum == 0:
                splits.append(self._add())
                body = len(self.variable)
                self.emit(pattern.item)
            loop = self._add()
            after = loop + 1
            self.targets[loop] = (body, after) if pattern.greedy else (after, body)
        else:
            for _ in range(pattern.minimum, pattern.maximum):
                splits.append(self._add())
                self.emit(pattern.item)
        after = len(self.variable)
        for split in splits:
            self.targets[split] = (split + 1, after) if pattern.greedy else (after, split + 1)

    def close(self, pattern: RowPattern, source: Source) -> Automaton:
        variable, targets = self.variable, self.targets
        end = len(variable)
        position_at = [-1] * end
        positions: list[int] = []
        for at, v in enumerate(variable):
            if v >= 0:
                position_at[at] = len(positions)
                positions.append(v)
        seen = [-1] * (end + 1)
        entries = steps = 0
        known: dict[int, tuple[int, ...]] = {}

        def closure(start: int) -> tuple[int, ...]:
            nonlocal steps
            reached: list[int] = []
            stack = [start]
            while stack:
                at = stack.pop()
                if seen[at] == start:
                    continue
                seen[at] = start
                steps += 1
                if at == end:
                    reached.append(MATCH)
                    break
                if position_at[at] >= 0:
                    reached.append(position_at[at])
                else:
                    stack.extend(reversed(targets[at]))
            return tuple(reached)

        def reach(start: int) -> tuple[int, ...]:
            nonlocal entries
            found = known.get(start)
            if found is None:
                found = known[start] = closure(start)
            entries += len(found)
            if entries > ENTRIES_MAX or steps > STEPS_MAX:
                raise source.error(
                    f"the pattern is too large: its automaton has more than {ENTRIES_MAX} transitions; "
                    "fewer optional repetitions in a row make it smaller",
                    pattern.span,
                )
            return found

        first = reach(0)
        follow = tuple(reach(at + 1) for at in range(end) if variable[at] >= 0)
        return Automaton(tuple(positions), first, follow)
