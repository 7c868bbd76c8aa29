"""Sites: which variables a match's first and last row can be of, as the shape of the pattern says.

A leaf of the first or last row needs no labels: FIRST(A.x) is the first row's x if every match begins with A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Choice

from tocsin.compile.ir import Leaf
from tocsin.compile.plan import Plan


@dataclass(frozen=True, slots=True)
class Sites:
    """Bit masks of variables."""

    first: int  # variables that the first row can be
    last: int  # variables that the last row can be
    only_first: int  # variables that no later row can be
    only_last: int  # variables that no earlier row can be

    @staticmethod
    def of(plan: Plan) -> Sites:
        """The sites of a plan's pattern; what is below 0 in its lists is the match's end."""
        first = last = later = earlier = 0
        for position in (*plan.first, *plan.first_at_start):
            if position >= 0:
                first |= 1 << plan.positions[position]
        for position, after in enumerate(plan.follow):
            bit = 1 << plan.positions[position]
            if any(target < 0 for target in after):
                last |= bit
            if any(target >= 0 for target in after):
                earlier |= bit
            for target in after:
                if target >= 0:
                    later |= 1 << plan.positions[target]
        return Sites(first, last, first & ~later, last & ~earlier)

    def place(self, leaf: Leaf, n_variables: int) -> Choice["start", "end", "rows"]:
        """Where FIRST or LAST over the whole match finds its row; "rows": among the labelled ones."""
        variables = leaf.variables & ((1 << n_variables) - 1)
        if leaf.kind not in ("first", "last") or leaf.offset:
            return "rows"
        begins = self.first & ~variables == 0  # the first row is surely one of them
        ends = self.last & ~variables == 0
        if begins and (leaf.kind == "first" or variables & ~self.only_first == 0):
            return "start"
        if ends and (leaf.kind == "last" or variables & ~self.only_last == 0):
            return "end"
        return "rows"
