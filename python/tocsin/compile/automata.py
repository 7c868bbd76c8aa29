"""Automata: a row pattern -> positions and their ordered successors.

A position is one occurrence of a variable after bounded quantifiers were written out (`A{2,3}` has three).
`first` lists the positions a match can begin with, `follow[p]` those that can come after p, each from most to
least preferred by SQL's rules: the left alternative before the right, one more iteration before leaving if
the quantifier is greedy, after it if reluctant. MATCH (-1) in a list means that the match may end here; what
would stand after it can never be chosen and is cut. So the lists are the threads of a Pike machine, in order.

Method: the pattern becomes a program of positions, anchors, splits and jumps (Thompson), with `x*` as `(x+)?`,
so that an empty iteration ends a loop with the preference Trino gives it; a list is the depth-first closure
of the program from one point, where an instruction seen before is not entered again. Closures are shared: all
positions that lead to the same point have the same list.

Anchors: `^` lets only the closure through that begins at the first row of a partition (`first_at_start`), so
behind a consumed row it never holds. Behind a `$` no row can be consumed: a path that goes on to the end of
the pattern gives MATCH_AT_END (-2), every other one is dead. MATCH_AT_END may stand anywhere in a list, once; not
in `first`, since a match that begins at a row, and takes none, has that row behind it.

PERMUTE means the alternation of all orders of its items, the lexicographically first preferred. An item that
can be matched in one way only (no alternative or quantifier in it) leaves nothing to choose, so the choice
of what follows may wait until it has been matched: then only the *set* of items that have been is a point of
the program, and eight variables need 8 * 2^7 positions and not 8 * 8!. Before an item with choices of its own
the order of all the rest has to be settled, because SQL prefers a better order to a better choice inside it;
such tails are written out, each once.

Cost: linear in the written-out program, plus the closures; `A{1000}` is a chain of 1 000 lists of one entry,
`(A?){1000}` half a million entries. Limits are checked before the work or as it goes: POSITIONS_MAX,
INSTRUCTIONS_MAX, ENTRIES_MAX, STEPS_MAX; beyond one, PatternError says which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

from tocsin.language.pattern import (
    Alternation,
    Anchor,
    Exclusion,
    Permute,
    Quantified,
    RowPattern,
    Sequence,
    Variable,
)
from tocsin.language.source import Source

MATCH = -1
MATCH_AT_END = -2
POSITIONS_MAX = 65_000
INSTRUCTIONS_MAX = 400_000
ENTRIES_MAX = 2_000_000
STEPS_MAX = 6_000_000

_AT_START, _AT_END = -2, -3  # instructions: the anchors; -1 is a split or a jump


@dataclass(frozen=True, slots=True)
class Automaton:
    """`variables[p]` is the variable of position p, by its number, `excluded[p]` whether it stands inside {- -}.

    See the top of the file for the rest.
    """

    variables: tuple[int, ...]
    first: tuple[int, ...]
    follow: tuple[tuple[int, ...], ...]
    first_at_start: tuple[int, ...]
    excluded: tuple[bool, ...]

    @property
    def nullable(self) -> bool:
        """Whether the pattern can match no rows at all (at the first row of a partition at least)."""
        return MATCH in self.first_at_start


def build(pattern: RowPattern, variable_ids: dict[str, int], source: Source | None = None) -> Automaton:
    """The automaton of `pattern`, with variables numbered by `variable_ids`.

    Raises PatternError, with its place in `source`, if the automaton would be larger than the limits.

    >>> from tocsin.language.pattern import parse_pattern
    >>> found = build(parse_pattern("A B*?"), {"A": 0, "B": 1})
    >>> found.variables, found.first, found.follow
    ((0, 1), (0,), ((-1,), (-1,)))
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
    """How many positions and instructions `pattern` comes to; noted for every node by its identity.

    Without instructions it says nothing at all: the empty pattern, and what is made of it.
    """
    if isinstance(pattern, Variable):
        size = (1, 1)
    elif isinstance(pattern, Anchor):
        size = (0, 1)
    elif isinstance(pattern, Exclusion):
        size = _size(pattern.item, sizes)
    elif isinstance(pattern, Quantified):
        positions, instructions = _size(pattern.item, sizes)
        minimum, maximum = _times(pattern, positions)
        times = max(minimum, 1) if maximum is None else maximum
        splits = 2 if maximum is None else maximum - minimum
        size = (positions * times, instructions * times + splits) if instructions else (0, 0)
    elif isinstance(pattern, Permute):
        size = _size_of_permute([_size(item, sizes) for item in pattern.items], pattern)
    elif isinstance(pattern, (Sequence, Alternation)):
        of_items = [_size(item, sizes) for item in pattern.items]
        positions = sum(p for p, _ in of_items)
        instructions = sum(i for _, i in of_items)
        between = 2 * (len(of_items) - 1) if isinstance(pattern, Alternation) else 0
        size = (positions, instructions + between) if instructions else (0, 0)
    else:
        size = (0, 0)
    sizes[id(pattern)] = size
    return size


def _size_of_permute(of_items: list[tuple[int, int]], pattern: Permute) -> tuple[int, int]:
    n = len(of_items)
    if not sum(i for _, i in of_items) or n == 1:
        return (of_items[0][0], of_items[0][1] + 3) if sum(i for _, i in of_items) else (0, 0)
    plain = [_plain(item) for item in pattern.items]
    choosing = n - sum(plain)
    if n > 20:  # far too many, whatever they are
        return sum(p for p, _ in of_items) << n, sum(i for _, i in of_items) << n
    # A plain item stands behind every set of other plain ones; the others behind sets that leave nothing to settle.
    of_plain, of_choosing = 1 << (n - choosing - 1 if n > choosing else 0), n
    if choosing and n > 2:
        # And every tail that follows an item with choices, or begins with one, is written out.
        for length in range(n):  # of what comes after the item
            orders = math.factorial(length)
            of_choosing += math.comb(n - 1, length) * orders
            of_plain += math.comb(n - 1, length) * orders
            if length >= choosing:  # no item with choices is left to have come before
                of_plain -= math.comb(n - 1 - choosing, length - choosing) * orders
    positions = instructions = 0
    for is_plain, (p, i) in zip(plain, of_items, strict=True):
        copies = of_plain if is_plain else of_choosing
        positions += p * copies
        instructions += (i + 3) * copies
    return positions, instructions


def _times(pattern: Quantified, positions: int) -> tuple[int, int | None]:
    """How often the item is written out. Without a row in it, an anchor holds once or a thousand times."""
    return (pattern.minimum, pattern.maximum) if positions else (min(pattern.minimum, 1), 1)


def _plain(pattern: RowPattern) -> bool:
    """Whether there is only one way to match `pattern`: nothing in it leaves a choice."""
    if isinstance(pattern, Exclusion):
        return _plain(pattern.item)
    if isinstance(pattern, Quantified):
        return pattern.minimum == pattern.maximum and _plain(pattern.item)
    if isinstance(pattern, (Alternation, Permute)) and len(pattern.items) > 1:
        return False
    if isinstance(pattern, (Sequence, Alternation, Permute)):
        return all(_plain(item) for item in pattern.items)
    return True


class _Program:
    """Instructions: `variable[i]` >= 0 is a position, _AT_START and _AT_END an anchor; else `targets[i]` lists where
    i leads, in order.
    """

    __slots__ = ("excluded", "excluding", "ids", "sizes", "targets", "variable")

    def __init__(self, ids: dict[str, int], sizes: dict[int, tuple[int, int]]) -> None:
        self.ids = ids
        self.sizes = sizes
        self.variable: list[int] = []
        self.targets: list[tuple[int, ...]] = []
        self.excluded: list[bool] = []  # of each position
        self.excluding = 0  # how many {- -} are around

    def _add(self, variable: int = -1) -> int:
        self.variable.append(variable)
        self.targets.append(())
        return len(self.variable) - 1

    def emit(self, pattern: RowPattern) -> None:
        """Appends the instructions of `pattern`; it is entered at its first and left past its last."""
        if self.sizes[id(pattern)][1] == 0:
            return
        if isinstance(pattern, Variable):
            self._add(self.ids[pattern.name])
            self.excluded.append(self.excluding > 0)
        elif isinstance(pattern, Anchor):
            self._add(_AT_START if pattern.where == "start" else _AT_END)
        elif isinstance(pattern, Exclusion):
            self.excluding += 1
            self.emit(pattern.item)
            self.excluding -= 1
        elif isinstance(pattern, Sequence):
            for item in pattern.items:
                self.emit(item)
        elif isinstance(pattern, Alternation):
            self._alternation(pattern)
        elif isinstance(pattern, Quantified):
            self._quantified(pattern)
        elif isinstance(pattern, Permute):
            self._permute(pattern)

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
        minimum, maximum = _times(pattern, self.sizes[id(pattern.item)][0])
        body = len(self.variable)
        for _ in range(minimum):
            body = len(self.variable)
            self.emit(pattern.item)
        splits = []
        if maximum is None:
            if minimum == 0:
                splits.append(self._add())
                body = len(self.variable)
                self.emit(pattern.item)
            loop = self._add()
            after = loop + 1
            self.targets[loop] = (body, after) if pattern.greedy else (after, body)
        else:
            for _ in range(minimum, maximum):
                splits.append(self._add())
                self.emit(pattern.item)
        after = len(self.variable)
        for split in splits:
            self.targets[split] = (split + 1, after) if pattern.greedy else (after, split + 1)

    def _permute(self, pattern: Permute) -> None:
        """See the top of the file. A point of the program is a tuple of what may come next and what after that:
        (set of items,) in any order, or (item, item, …) in just that.
        """
        items = pattern.items
        plain = [_plain(item) for item in items]
        start: tuple[frozenset[int] | int, ...] = (frozenset(range(len(items))),)
        at: dict[tuple[frozenset[int] | int, ...], int] = {}
        jumps: list[tuple[int, tuple[frozenset[int] | int, ...]]] = []
        todo = [start]
        noted = {start}

        def to(point: tuple[frozenset[int] | int, ...]) -> int:
            jump = self._add()
            jumps.append((jump, point))
            if point and point not in noted:
                noted.add(point)
                todo.append(point)
            return jump

        while todo:
            point = todo.pop()
            at[point] = len(self.variable)
            head, tail = point[0], point[1:]
            if isinstance(head, int):
                self.emit(items[head])
                to(tail)
                continue
            split = self._add()
            starts: list[int] = []
            for i in sorted(head):
                rest = head - {i}
                if plain[i] or len(rest) < 2:
                    starts.append(len(self.variable))
                    self.emit(items[i])
                    to((rest,) if rest else ())
                else:
                    starts.extend(to((i, *order)) for order in permutations(sorted(rest)))
            self.targets[split] = tuple(starts)
        at[()] = len(self.variable)
        for jump, point in jumps:
            self.targets[jump] = (at[point],)

    def close(self, pattern: RowPattern, source: Source) -> Automaton:
        """The lists."""
        variable, targets = self.variable, self.targets
        end = len(variable)
        position_at = [-1] * end
        positions: list[int] = []
        for at, v in enumerate(variable):
            if v >= 0:
                position_at[at] = len(positions)
                positions.append(v)
        # Every point twice: as it is, and (odd) behind a `$`.
        seen = [-1] * (2 * end + 2)
        entries = steps = 0
        known: dict[int, tuple[int, ...]] = {}

        def closure(start: int, mark: int, at_start: bool) -> tuple[int, ...]:
            nonlocal steps
            reached: list[int] = []
            stack = [2 * start]
            while stack:
                entered = stack.pop()
                if seen[entered] == mark:
                    continue
                seen[entered] = mark
                steps += 1
                at, ended = divmod(entered, 2)
                if at == end:
                    if not ended and reached and reached[-1] == MATCH_AT_END:
                        reached.pop()  # what may end here in any case need not ask whether the partition does
                    reached.append(MATCH_AT_END if ended else MATCH)
                    if not ended:
                        break
                elif variable[at] >= 0:
                    if not ended:
                        reached.append(position_at[at])
                elif variable[at] == _AT_START:
                    if at_start:
                        stack.append(entered + 2)
                elif variable[at] == _AT_END:
                    stack.append(2 * (at + 1) + 1)
                else:
                    stack.extend(2 * target + ended for target in reversed(targets[at]))
            return tuple(reached)

        def reach(start: int) -> tuple[int, ...]:
            nonlocal entries
            found = known.get(start)
            if found is None:
                found = known[start] = closure(start, start, False)
            entries += len(found)
            if entries > ENTRIES_MAX or steps > STEPS_MAX:
                raise source.error(
                    f"the pattern is too large: its automaton has more than {ENTRIES_MAX} transitions; "
                    "fewer optional repetitions in a row make it smaller",
                    pattern.span,
                )
            return found

        def begins(found: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(p for p in found if p != MATCH_AT_END)

        first = begins(reach(0))
        at_start = begins(closure(0, end + 1, True)) if _AT_START in variable else first
        follow = tuple(reach(at + 1) for at in range(end) if variable[at] >= 0)
        return Automaton(tuple(positions), first, follow, at_start, tuple(self.excluded))
