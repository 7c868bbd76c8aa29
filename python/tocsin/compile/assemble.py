"""From a plan to an operator of the core: which of the matchers, and what stands around it.

Classes (a) and (b) of execution.py run on the row-local matcher (row_local.py), (c) and (d) on the one that steps
threads (thread_plan.py). Columns that a library computes before the match, and measures that it computes afterwards,
make a Derive around the operator.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from tocsin.compile.clauses import compile_clause, compile_condition
from tocsin.compile.derive import derive
from tocsin.compile.execution import ExecutionClass, execution_class
from tocsin.compile.ir import Node
from tocsin.compile.plan import Plan
from tocsin.compile.program import make_row_condition
from tocsin.compile.results import FIRST_SEQUENCE, LAST_SEQUENCE, After, late_measures
from tocsin.compile.row_local import row_local
from tocsin.compile.thread_plan import thread_matcher
from tocsin.compile.with_library import filter_with_library, with_library
from tocsin.errors import PatternError
from tocsin.language.expression import Expression
from tocsin.sql.clause import Clause, is_clause
from tocsin_core.matcher import PatternMatcher
from tocsin_core.operator import Operator
from tocsin_core.rowfilter import RowFilter
from tocsin_core.schema import Schema
from tocsin_core.thread_matcher import ThreadMatcher

STEPS_DEFAULT = 10_000_000


@dataclass(frozen=True, slots=True)
class Assembled:
    """An operator with what its users must know of it.

    `schema` is that of the events. `plan` and `matcher`, which is `operator` or inside of it, are None for a condition.
    """

    operator: Operator
    schema: pa.Schema
    output_schema: pa.Schema
    plan: Plan | None
    condition: Node | None
    matcher: PatternMatcher | ThreadMatcher | None = None


def assemble(
    plan: Plan,
    *,
    positions: bool = False,
    groups_only: bool = False,
    execution: ExecutionClass | None = None,
    max_steps: int | None = None,
    ranked: bool = False,
) -> Assembled:
    """The operator of a row pattern.

    Args:
        plan: from compile_clause.
        positions: whether the output ends with the columns _first_sequence and _last_sequence (int64), the
            stream's sequence of the match's first and last row; the latter is NULL for an empty match.
        groups_only: leave out the quicker of the two ways in which row-local attempts are stepped, to test one by
            the other.
        execution: a class at or below the plan's own, to test one by the other; None: the plan's own.
        max_steps: how many steps one attempt may take; None: as many as it needs, in class (d) STEPS_DEFAULT.
        ranked: whether this is one of several instances, by partition, whose matches will be merged. Without effect
            where one instance has to see everything: no PARTITION BY, or a library has a part.

    Raises:
        ValueError: the plan cannot run in that class.
    """
    own = execution_class(plan)
    chosen = execution or own
    if chosen not in ("a", "b", "c", "d"):
        raise ValueError(f"execution is one of 'a', 'b', 'c', 'd' or None, not {execution!r}")
    if chosen < own and not (chosen == "a" and own == "b"):
        raise ValueError(f"this pattern runs in class ({own}), not in ({chosen}): explain() says why")
    if max_steps is not None and (type(max_steps) is not int or max_steps < 1):
        raise ValueError(f"max_steps is a whole number of steps from 1, or None, not {max_steps!r}")
    ranked = ranked and bool(plan.partition) and not plan.derived and not late_measures(plan)
    after: After | None = None
    operator: PatternMatcher | ThreadMatcher
    if chosen in ("a", "b"):
        operator, output_schema, after = row_local(
            plan,
            positions=positions,
            groups_only=groups_only,
            keep_rows=chosen == "b" and own == "a",
            ranked=ranked,
        )
    else:
        operator, output_schema, after = thread_matcher(
            plan,
            positions=positions,
            traced=chosen == "d",
            max_steps=max_steps or (STEPS_DEFAULT if chosen == "d" else 0),
            ranked=ranked,
        )
    schema = pa.schema(
        list(plan.schema)[: len(plan.schema) - len(plan.derived)], metadata=plan.schema.metadata
    )
    if not plan.derived and after is None:
        return Assembled(operator, schema, output_schema, plan, None, operator)
    outer, output_schema = with_library(operator, schema, output_schema, plan.derived, after)
    return Assembled(outer, schema, output_schema, plan, None, operator)


def assemble_condition(condition: Node, schema: pa.Schema, *, placed: bool = False) -> Assembled:
    """The operator of a condition: passes on the rows for which it is true, all columns as they come.

    placed: whether the batches of the core that it gives have `places`, the sequences of the rows.
    """
    for field in schema:
        if pa.types.is_nested(field.type) and not pa.types.is_dictionary(field.type):
            raise PatternError(
                f"a condition passes whole rows on, and column '{field.name}' of type {field.type} cannot be "
                "copied row by row yet: leave it out of the stream's schema"
            )
    condition, wider, derived = derive(condition, schema)
    inner = RowFilter(
        Schema.from_arrow(wider), make_row_condition(condition), Schema.from_arrow(schema), placed=placed
    )
    operator = filter_with_library(inner, schema, derived) if derived else inner
    return Assembled(operator, schema, schema, None, condition)


def build(
    definition: str | Clause | Expression,
    schema: pa.Schema,
    *,
    positions: bool = False,
    max_steps: int | None = None,
    ranked: bool = False,
) -> Assembled:
    """The operator of a trigger's definition: the text of a clause or of a condition, or a Python expression.

    positions: where each match lies: two columns behind a pattern's, `Batch.places` of a condition's.
    """
    if isinstance(definition, Clause) or (isinstance(definition, str) and is_clause(definition)):
        return assemble(
            compile_clause(definition, schema), positions=positions, max_steps=max_steps, ranked=ranked
        )
    if not isinstance(definition, (str, Expression)):
        raise TypeError(
            f"a trigger waits for a clause (text with PATTERN), a condition (text, or an expression made with col), "
            f"not for a {type(definition).__name__}"
        )
    return assemble_condition(compile_condition(definition, schema), schema, placed=positions)


__all__ = ["FIRST_SEQUENCE", "LAST_SEQUENCE", "Assembled", "assemble", "assemble_condition", "build"]
