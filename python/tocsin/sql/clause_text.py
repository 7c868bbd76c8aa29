"""A clause as text: the counterpart of sql/clause_parser.py, which reads it back as an equal tree.

A clause is worth its text to whoever wants to keep one, or to show one that a program built.
"""

from __future__ import annotations

from tocsin.language.render import name_text, variable_text
from tocsin.language.render_pattern import pattern_text
from tocsin.sql.clause_tree import Clause, SkipTo, SortKey


def clause_text(clause: Clause) -> str:
    """What stands in MATCH_RECOGNIZE ( … ), one sub-clause a line.

    >>> from tocsin.sql.clause import parse_clause
    >>> print(clause_text(parse_clause("order by t desc pattern (a b+) define b as x > prev(x)")))
    ORDER BY t DESC
    PATTERN (A B+)
    DEFINE B AS x > PREV(x)
    """
    lines = []
    if clause.partition:
        lines.append("PARTITION BY " + ", ".join(str(key) for key in clause.partition))
    if clause.order:
        lines.append("ORDER BY " + ", ".join(_key(key) for key in clause.order))
    if clause.measures:
        lines.append(
            "MEASURES " + ", ".join(f"{m.expression} AS {_name(m.name, m.quoted)}" for m in clause.measures)
        )
    if clause.rows == "all":
        empty = {"show": "", "omit": " OMIT EMPTY MATCHES", "unmatched": " WITH UNMATCHED ROWS"}[clause.empty]
        lines.append("ALL ROWS PER MATCH" + empty)
    if clause.skip != SkipTo():
        lines.append("AFTER MATCH SKIP TO " + _skip(clause.skip))
    lines.append(f"PATTERN ({pattern_text(clause.pattern)})")
    if clause.within is not None:
        lines.append(f"WITHIN {clause.within}")
    if clause.subsets:
        lines.append(
            "SUBSET "
            + ", ".join(
                f"{variable_text(s.name)} = ({', '.join(variable_text(m) for m in s.members)})"
                for s in clause.subsets
            )
        )
    if clause.definitions:
        lines.append(
            "DEFINE " + ", ".join(f"{variable_text(d.variable)} AS {d.condition}" for d in clause.definitions)
        )
    return "\n".join(lines)


def _key(key: SortKey) -> str:
    return f"{key.expression}{' DESC' if key.descending else ''}{' NULLS FIRST' if key.nulls_first else ''}"


def _skip(skip: SkipTo) -> str:
    if skip.variable is None:
        return "NEXT ROW"
    return f"{skip.kind.upper()} {variable_text(skip.variable)}"


def _name(name: str, quoted: bool) -> str:
    return '"' + name.replace('"', '""') + '"' if quoted else name_text(name)
