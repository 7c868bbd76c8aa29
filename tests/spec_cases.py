"""Loads the engine-independent cases of `spec/*.toml`; `spec/README.md` is the format's description.

A case is one MATCH_RECOGNIZE clause, one small table and the literal matches, or output rows, expected of it. To
make every mapped row visible through measures alone, two columns join each table: `n`, the row's number, and `bit`,
two to the n-th, so that SUM(A.bit) says exactly which rows were mapped to A; and measures over them join each
clause whose matches are given. `SpecCase.expected_rows()` has what those measures must be, `SpecCase.clause()` asks
for them. Where the output's rows are given, they are all that is asked for.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

import oracle
from oracle_expression import Instant, Span, instant

FOLDER = Path(__file__).parent / "spec"
KEYS = {
    "name", "pattern", "define", "undefined", "measures", "types", "partition_by", "order_by", "skip", "subset",
    "within", "letters", "masks", "columns", "matches", "all_rows", "rows_out", "error", "clause", "says", "doors",
    "search",
}  # fmt: skip
SKIP_TEXT = {"past_last": "SKIP PAST LAST ROW", "next": "SKIP TO NEXT ROW"}
ALL_ROWS_TEXT = {"show": "", "omit": " OMIT EMPTY MATCHES", "unmatched": " WITH UNMATCHED ROWS"}
DOORS = ("match_recognize", "sql", "matcher", "engine")


@dataclass(frozen=True)
class Expected:
    """One expected match. `start` is where it begins, `rows` the rows it maps, in order (none: an empty
    match); `settled` the row by which it is certain, None for the end of input, "?" where the case does not
    say."""

    start: int
    rows: tuple[int, ...]
    classifier: tuple[str, ...]
    measures: Mapping[str, Any]
    settled: int | str | None


@dataclass(frozen=True)
class SpecCase:
    id: str
    name: str
    pattern: str
    define: Mapping[str, str]
    measures: Mapping[str, str]
    types: Mapping[str, str]
    partition_by: Sequence[str]
    order_by: Sequence[str]
    skip: str
    within: str | None
    subsets: Mapping[str, Sequence[str]]
    all_rows: str | None
    data: pa.Table
    matches: Sequence[Expected]
    rows_out: Sequence[Mapping[str, Any]] | None  # the output itself; `matches` is empty then
    error: str | None = None
    raw: str | None = None  # the whole clause, where it is given as text
    place: tuple[int, range] | None = None  # the line of the fault in it and its columns, from 1
    says: Sequence[str] = ()
    doors: Sequence[str] = field(default=DOORS)
    search: bool = True  # whether the class without merging shall try it

    def table(self) -> pa.Table:
        """The case's columns and then `n` and `bit`, rows as given."""
        return self.data

    def variables(self) -> list[str]:
        return pattern_variables(self.pattern)

    def all_measures(self) -> dict[str, str]:
        if self.rows_out is not None:
            return dict(self.measures)
        return {**self.measures, **identifying_measures(self.variables())}

    def clause(self) -> str:
        """The text of the clause, the identifying measures included."""
        if self.raw is not None:
            return self.raw
        return clause_text(
            self.pattern,
            self.define,
            self.all_measures(),
            partition_by=self.partition_by,
            order_by=self.order_by,
            skip=self.skip,
            within=self.within,
            subsets=self.subsets,
            all_rows=self.all_rows,
        )

    def columns_out(self) -> list[str]:
        """The output's columns in their order. Computed keys have no name here, and are not compared."""
        names = self.data.column_names
        keys = [c for c in self.partition_by if c in names]
        if not self.all_rows:
            return [*keys, *self.all_measures()]
        order = [c for c, _, _ in map(oracle.sort_key, self.order_by) if c in names]
        return list(dict.fromkeys([*keys, *order, *self.all_measures(), *names]))

    def expected_rows(self) -> list[dict[str, Any]]:
        """One dict per output row: partition columns, the case's measures, and the identifying ones or all columns."""
        if self.rows_out is not None:
            if not self.all_rows:
                return [dict(row) for row in self.rows_out]
            table = {name: oracle.values_of(self.data.column(name)) for name in self.data.column_names}
            return [{c: v[row["n"]] for c, v in table.items()} | dict(row) for row in self.rows_out]
        plain = [c for c in self.partition_by if c in self.data.column_names]
        keys = {name: oracle.values_of(self.data.column(name)) for name in plain}
        return [
            {
                **{name: values[m.start] for name, values in keys.items()},
                **m.measures,
                **identifying_values(self.variables(), m.rows, m.classifier),
            }
            for m in self.matches
        ]

    def oracle_matches(self) -> list[dict[str, Any]]:
        return oracle.run(
            self.data,
            pattern=self.pattern,
            define=self.define,
            measures=self.all_measures(),
            partition_by=self.partition_by,
            order_by=self.order_by,
            skip=oracle_skip(self.skip),
            within=self.within,
            subsets=self.subsets,
            all_rows=self.all_rows,
        )


def oracle_skip(skip: str) -> str:
    """TO v is TO LAST v."""
    return f"last {skip[3:]}" if skip.startswith("to ") else skip


# ---------------------------------------------------------------- clauses and their identifying measures


def pattern_variables(pattern: str) -> list[str]:
    """In order of appearance, as written."""
    words = re.findall(r'"[^"]+"|[A-Za-z_]\w*', pattern)
    return list(dict.fromkeys(w.strip('"') for w in words if w.upper() != "PERMUTE"))


def identifying_measures(variables: Iterable[str]) -> dict[str, str]:
    return {
        "n_first": "FIRST(n)",
        "n_last": "LAST(n)",
        "n_count": "COUNT(*)",
        **{f"rows_{v}": f"SUM({quoted(v)}.bit)" for v in variables},
    }


def quoted(name: str) -> str:
    """As it must be written: names in lower case are other variables without quotes."""
    return name if re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) else f'"{name}"'


def identifying_values(
    variables: Iterable[str], rows: Sequence[int], classifier: Sequence[str]
) -> dict[str, int | None]:
    """What `identifying_measures` are for a match that maps `rows` to the variables of `classifier`."""
    mapped = list(zip(rows, classifier, strict=True))
    sums = {v: [1 << row for row, label in mapped if label == v] for v in variables}
    return {
        "n_first": rows[0] if rows else None,
        "n_last": rows[-1] if rows else None,
        "n_count": len(rows),
        **{f"rows_{v}": sum(bits) if bits else None for v, bits in sums.items()},
    }


def clause_text(
    pattern: str,
    define: Mapping[str, str],
    measures: Mapping[str, str],
    *,
    partition_by: Sequence[str] = (),
    order_by: Sequence[str] = (),
    skip: str = "past_last",
    within: str | None = None,
    subsets: Mapping[str, Sequence[str]] | None = None,
    all_rows: str | None = None,
) -> str:
    """A MATCH_RECOGNIZE clause, as `tocsin.match_recognize` takes it."""
    if skip not in SKIP_TEXT:
        side, variable = skip.split(" ", 1)
        skip_text = f"SKIP TO {'' if side == 'to' else side.upper() + ' '}{quoted(variable)}"
    else:
        skip_text = SKIP_TEXT[skip]
    unions = [f"{quoted(name)} = ({', '.join(map(quoted, of))})" for name, of in (subsets or {}).items()]
    lines = [
        f"PARTITION BY {', '.join(partition_by)}" if partition_by else "",
        f"ORDER BY {', '.join(order_by)}" if order_by else "",
        "MEASURES " + ", ".join(f"{text} AS {name}" for name, text in measures.items()) if measures else "",
        "ONE ROW PER MATCH" if all_rows is None else f"ALL ROWS PER MATCH{ALL_ROWS_TEXT[all_rows]}",
        f"AFTER MATCH {skip_text}",
        f"PATTERN ({pattern})" + (f" WITHIN {within}" if within else ""),
        "SUBSET " + ", ".join(unions) if unions else "",
        "DEFINE " + ", ".join(f"{quoted(v)} AS {text}" for v, text in define.items()) if define else "",
    ]
    return "\n".join(line for line in lines if line)


# ---------------------------------------------------------------- comparing


def key_of(value: Any) -> Any:
    """A value that is equal to itself and hashable: NaN is itself, TRUE is not 1."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("list", *map(key_of, value))
    if isinstance(value, float):  # sums of floats depend on how they are summed, in their last digits
        return "NaN" if value != value else float(f"{value:.12g}")
    return value


def row_keys(table: pa.Table | pa.RecordBatch, names: Sequence[str]) -> list[tuple]:
    """The rows of a result as tuples of the named columns, in order."""
    columns = [oracle.values_of(table.column(name)) for name in names]
    return [tuple(map(key_of, row)) for row in zip(*columns, strict=True)]


def dict_keys(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[tuple]:
    return [tuple(key_of(row[name]) for name in names) for row in rows]


def assert_same(found: Iterable[tuple], wanted: Iterable[tuple], what: str) -> None:
    """Equal as multisets; says which rows are missing and which too many."""
    found, wanted = Counter(found), Counter(wanted)
    assert found == wanted, f"{what}\n missing: {wanted - found}\n too many: {found - wanted}"


# ---------------------------------------------------------------- TOML -> cases


def arrow_type(text: str) -> pa.DataType:
    """`int64`, `timestamp[us]`, `timestamp[ns, Europe/Paris]`, `duration[ms]`, `dictionary[int8, string]`,
    ..."""
    name, _, inner = text.rstrip("]").partition("[")
    parts = [p.strip() for p in inner.split(",")] if inner else []
    if name == "dictionary":
        return pa.dictionary(arrow_type(parts[0]), arrow_type(parts[1]))
    if name in ("timestamp", "duration"):
        return getattr(pa, name)(*parts)
    return {"bool": pa.bool_(), "double": pa.float64()}.get(name) or getattr(pa, name)()


def _from_toml(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_toml(v) for v in value]
    return None if value == {} else value


def _column(given: Any) -> pa.Array:
    kind, values = None, given
    if isinstance(given, dict):
        kind, values = arrow_type(given["type"]), given["values"]
    values = [_from_toml(v) for v in values]
    if kind is None:
        return pa.array(values)
    if pa.types.is_dictionary(kind):
        indices = pa.array(values, kind.value_type).dictionary_encode()
        return pa.DictionaryArray.from_arrays(indices.indices.cast(kind.index_type), indices.dictionary)
    if pa.types.is_temporal(kind):
        if all(v is None or isinstance(v, int) for v in values):  # counts of the unit since 1970
            width = pa.int32() if kind.bit_width == 32 else pa.int64()
            return pa.array(values, width).cast(kind)
        return pa.array(values).cast(kind)
    return pa.array(values, kind)


def _measure_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_measure_value(v) for v in value]
    value = _from_toml(value)
    if isinstance(value, dict):
        return Span(value["ns"]) if "ns" in value else Instant(value["at_ns"])
    return instant(value) if isinstance(value, dt.date) else value


def _expected(
    given: Mapping[str, Any], groups: Mapping[int, Sequence[int]], names: Iterable[str]
) -> Expected:
    measures = {name: _measure_value(v) for name, v in given.get("measures", {}).items()}
    assert set(measures) == set(names), f"measures {sorted(measures)} are not those of the clause"
    settled = given.get("settled", "?")
    settled = None if settled == "end" else settled
    if "empty_at" in given:
        return Expected(given["empty_at"], (), (), measures, settled)
    first, last = given["rows"]
    rows = tuple(r for r in groups[first] if first <= r <= last)
    classifier = tuple(given["classifier"])
    assert rows, f"no rows from {first} to {last}"
    assert rows[-1] == last, f"rows {first} and {last} are of two partitions"
    assert len(rows) == len(classifier), f"{len(rows)} rows, but {len(classifier)} names"
    return Expected(first, rows, classifier, measures, settled)


def _rows_out(given: Mapping[str, list], names: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of the table `rows_out`; `settled` becomes `_settled`."""
    missing = set(names) - set(given)
    assert not missing, f"rows_out has no column for {sorted(missing)}"
    settled = [None if v == "end" else v for v in given.get("settled", [])]
    columns = {
        name: [_measure_value(v) for v in values] for name, values in given.items() if name != "settled"
    }
    columns |= {"_settled": settled} if settled else {}
    return [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]


def _table(given: Mapping[str, Any], variables: Sequence[str], free: Sequence[str]) -> tuple[pa.Table, dict]:
    """The case's rows, and the conditions that `letters` and `masks` give to `free` variables."""
    columns = {name: _column(values) for name, values in given.get("columns", {}).items()}
    define = {}
    if "letters" in given:
        columns["l"] = pa.array(list(given["letters"]))
        define = {v: f"l = '{v}'" for v in free}
    elif "masks" in given:
        rows = given["masks"].split()
        for v in variables:
            columns[f"is_{v.lower()}"] = pa.array([v in row for row in rows])
        define = {v: f"is_{v.lower()}" for v in free}
    else:
        assert not free, f"no DEFINE for {free}; list them in `undefined` if that is meant"
    n_rows = max(map(len, columns.values()))
    assert not {"n", "bit"} & set(columns), "`n` and `bit` are the loader's columns"
    assert n_rows <= 62, "at most 62 rows"
    columns["n"] = pa.array(range(n_rows), pa.int64())
    columns["bit"] = pa.array([1 << i for i in range(n_rows)], pa.int64())
    return pa.table(columns), define


def _place(text: str) -> tuple[str, tuple[int, range] | None]:
    """A clause without the marks around its fault, and the line and the columns between them."""
    before, mark, rest = text.partition("«")
    first = len(before) - before.rfind("\n")
    place = (before.count("\n") + 1, range(first, first + len(rest.partition("»")[0]))) if mark else None
    return text.replace("«", "").replace("»", ""), place


def _case(file: str, given: Mapping[str, Any]) -> SpecCase:
    unknown = set(given) - KEYS
    assert not unknown, f"unknown keys {unknown}"
    raw, place = _place(given["clause"]) if "clause" in given else (None, None)
    assert raw is None or given.get("error"), "a whole clause is for errors: the oracle does not read it"
    variables = pattern_variables(given.get("pattern", ""))
    define = dict(given.get("define", {}))
    free = [v for v in variables if v not in define and v not in given.get("undefined", ())]
    data, more = _table(given, variables, free)

    partition_by = given.get("partition_by", [])
    cells = {name: oracle.values_of(data.column(name)) for name in data.column_names}
    keyed = [map(key_of, oracle.column_of(c, cells, data.num_rows)) for c in partition_by]
    keys = list(zip(*keyed, strict=True)) or [()] * data.num_rows
    groups = {r: [s for s in range(data.num_rows) if keys[s] == keys[r]] for r in range(data.num_rows)}
    measures = given.get("measures", {})
    all_rows = given.get("all_rows")
    assert all_rows in (None, *ALL_ROWS_TEXT), f"all_rows = {all_rows}"
    assert not all_rows or "rows_out" in given or given.get("error"), "ALL ROWS needs rows_out"
    named = [*measures, *(["n"] if all_rows else [])]
    return SpecCase(
        id=f"{file}: {given['name']}",
        name=given["name"],
        pattern=given.get("pattern", ""),
        define=define | more,
        measures=measures,
        types=given.get("types", {}),
        partition_by=partition_by,
        order_by=given.get("order_by", []),
        skip=given.get("skip", "past_last"),
        within=given.get("within"),
        subsets=given.get("subset", {}),
        all_rows=all_rows,
        data=data,
        matches=[_expected(m, groups, measures) for m in given.get("matches", [])],
        rows_out=_rows_out(given["rows_out"], named) if "rows_out" in given else None,
        error=given.get("error"),
        raw=raw,
        place=place,
        says=given.get("says", ()),
        doors=given.get("doors", DOORS),
        search=given.get("search", True),
    )


def load() -> list[SpecCase]:
    """Every case of every file, in order. A case that does not fit the format fails here, by its name."""
    cases = []
    for path in sorted(FOLDER.glob("*.toml")):
        for given in tomllib.loads(path.read_text(encoding="utf-8"))["test"]:
            try:
                cases.append(_case(path.stem, given))
            except Exception as error:
                raise ValueError(f"{path.name}: {given.get('name')}: {error}") from error
    double = [name for name, count in Counter(c.id for c in cases).items() if count > 1]
    assert not double, f"two cases of one name: {double}"
    return cases
