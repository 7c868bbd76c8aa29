"""The command `tocsin`: match, explain, demo.

    tocsin match "PARTITION BY ... PATTERN (A B) ..." trades.parquet -o matches.parquet
    tocsin explain @clause.sql trades.parquet
    tocsin explain "..." --schema "ts: timestamp[us], price: double"
    tocsin demo

`match` reads its file batch by batch through a Matcher, so the file may be larger than memory if it is sorted
by the clause's ORDER BY. If it turns out not to be, the command says so and sorts the whole of it in memory.

Exit codes: 0 done (with or without matches), 1 out of memory, or a fault of ours, 2 a mistake in what was
asked (one clear line on standard error; a wrong clause is shown with a caret), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from tocsin.files import EventFile, FileError, MatchFile, write_csv
from tocsin.progress import Progress
from tocsin.version import __version__

_TABLE_ROWS = 40
_CELL_WIDTH = 40


class UsageError(Exception):
    """What was asked cannot be done; the message says why."""


class _Parser(argparse.ArgumentParser):
    """argparse, with one line and exit code 2 for a mistake."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see: {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the command's name; `sys.argv` if not given.

    Returns
    -------
    int
        0, 1, 2 or 130: see the top of this file.

    Examples
    --------
    >>> main(["--version"]) == 0
    tocsin 0.1.0
    True
    """
    try:
        return _run(_parser().parse_args(arguments))
    except KeyboardInterrupt:
        print("tocsin: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`tocsin match ... | head`): that is no error, and Python must not
        # find the closed pipe again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(f"tocsin: {error}", file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """2 for a user's mistake, 1 for a machine that refuses; None for a bug, which deserves its traceback."""
    from tocsin.errors import TocsinError

    if isinstance(error, (UsageError, FileError, TocsinError, OSError)):
        return 2
    if isinstance(error, MemoryError):
        return 1
    if type(error).__module__.startswith("tocsin.demo"):
        return 2
    return None


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tocsin", description="Event correlation: row patterns over event files.", allow_abbrev=False
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    match = commands.add_parser("match", help="match a clause over a file", allow_abbrev=False)
    match.add_argument(
        "clause", metavar="CLAUSE", help="the inside of MATCH_RECOGNIZE ( ... ), or @FILE that holds it"
    )
    match.add_argument(
        "input", metavar="FILE", type=Path, help="events: .parquet .arrow .feather .csv .tsv .ndjson"
    )
    match.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="matches go there, in the suffix's format; else a table on the terminal, CSV in a pipe",
    )
    match.add_argument(
        "--rows",
        type=int,
        default=_TABLE_ROWS,
        metavar="N",
        help="rows of the table on the terminal (default %(default)s)",
    )
    match.set_defaults(run=_match)

    explain = commands.add_parser("explain", help="say how a clause would be run", allow_abbrev=False)
    explain.add_argument("clause", metavar="CLAUSE", help="as for match")
    explain.add_argument("input", metavar="FILE", nargs="?", type=Path, help="a file with the columns")
    explain.add_argument(
        "--schema", metavar="COLUMNS", help='instead of a file: "ts: timestamp[us], price: double"'
    )
    explain.set_defaults(run=_explain)

    demo = commands.add_parser("demo", help="a year of flights through the engine", allow_abbrev=False)
    demo.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("demo_out"),
        help="for matches and picture (default %(default)s)",
    )
    demo.add_argument("--store", metavar="DIR", type=Path, help="the store (default: flights.store in --out)")
    demo.set_defaults(run=_demo)
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.version:
        print(f"tocsin {__version__}")
        return 0
    if options.command is None:
        raise UsageError("a command is missing: match, explain or demo (see: tocsin --help)")
    options.run(options)
    return 0


def _demo(options: argparse.Namespace) -> None:
    from tocsin.demo import run_demo

    run_demo(options.store or options.out / "flights.store", options.out)


def _explain(options: argparse.Namespace) -> None:
    import tocsin

    if (options.input is None) == (options.schema is None):
        raise UsageError("explain takes either a FILE or --schema")
    schema = EventFile(options.input).schema if options.input else parse_schema(options.schema)
    print(tocsin.explain(_clause(options.clause), schema))


def _match(options: argparse.Namespace) -> None:
    import tocsin

    clause = _clause(options.clause)
    source = EventFile(options.input)
    started = time.perf_counter()
    try:
        events, found = _stream(clause, source, options)
    except tocsin.OrderError as error:
        note = f"{error}; reading all of {options.input} to sort it in memory"
        print(f"tocsin: note: {note}", file=sys.stderr)
        whole = EventFile(options.input)
        table = pa.Table.from_batches(list(whole), whole.schema)
        matches = tocsin.match_recognize(table, clause)
        events, found = table.num_rows, matches.num_rows
        _deliver(iter(matches.combine_chunks().to_batches() or [_no_rows(matches.schema)]), options)
    seconds = time.perf_counter() - started
    print(f"tocsin: {found:,} matches in {events:,} events, {seconds:.2f} s", file=sys.stderr)


def _stream(clause: str, source: EventFile, options: argparse.Namespace) -> tuple[int, int]:
    """Pushes the file through a Matcher; returns how many events and matches there were."""
    import tocsin

    matcher = tocsin.Matcher(clause, source.schema)
    counts = {"events": 0, "matches": 0}

    def matches() -> Iterator[pa.RecordBatch]:
        with Progress("matching", total=source.rows) as progress:
            for batch in source:
                found = matcher.push(batch)
                counts["matches"] += found.num_rows
                yield found
                progress.update(batch.num_rows, fraction=source.fraction())
            counts["events"] = progress.done
        found = matcher.finish()
        counts["matches"] += found.num_rows
        yield found

    _deliver(matches(), options)
    return counts["events"], counts["matches"]


def _deliver(matches: Iterator[pa.RecordBatch], options: argparse.Namespace) -> None:
    """Writes batches of matches, of which there is at least one, to the file, the terminal or the pipe."""
    first = next(matches)
    if options.output:
        with MatchFile(options.output, first.schema) as sink:
            for batch in chain([first], matches):
                sink.write(batch)
        return
    table = pa.Table.from_batches([first, *matches])
    if sys.stdout.isatty():
        print(format_table(table, options.rows))
    else:
        sys.stdout.flush()
        write_csv(table, sys.stdout.buffer)


def _clause(text: str) -> str:
    """The clause itself, or the contents of the file behind an @."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{text[1:]} is no text file: {error}") from error


def parse_schema(text: str) -> pa.Schema:
    """Reads a schema from "name: type, name: type".

    Parameters
    ----------
    text : str
        Types as pyarrow names them: int64, double, bool, string, date32, timestamp[us],
        timestamp[us, tz=UTC], duration[ms], ...

    Returns
    -------
    pyarrow.Schema

    Raises
    ------
    UsageError
        A column without a type, a type that is not known, or the same name twice.

    Examples
    --------
    >>> parse_schema("ts: timestamp[us, tz=UTC], price: double").names
    ['ts', 'price']
    """
    fields: list[pa.Field] = []
    for part in re.split(r",(?![^\[]*\])", text):
        name, colon, kind = (piece.strip() for piece in part.partition(":"))
        if not (name and colon and kind):
            raise UsageError(f'--schema: {part.strip()!r} is not "name: type"')
        if name in {field.name for field in fields}:
            raise UsageError(f"--schema: column {name!r} is there twice")
        fields.append(pa.field(name, _type_of(kind, name)))
    return pa.schema(fields)


def _type_of(kind: str, name: str) -> pa.DataType:
    zoned = re.fullmatch(r"timestamp\[(s|ms|us|ns),\s*(?:tz=)?([\w/+:-]+)\]", kind)
    if zoned:
        return pa.timestamp(zoned[1], tz=zoned[2])
    try:
        return pa.type_for_alias(kind)
    except ValueError:
        raise UsageError(
            f"--schema: column {name!r} has the unknown type {kind!r}; known are int64, double, bool, "
            "string, date32, timestamp[us], timestamp[us, tz=UTC], duration[us], all as pyarrow names them"
        ) from None


def format_table(table: pa.Table, rows: int) -> str:
    """Draws the first rows of a table in columns, and says how many more there are.

    Examples
    --------
    >>> print(format_table(pa.table({"a": [1, 22], "b": ["x", None]}), 1))
    a   b
    1   x
    ... 1 more of 2 (-o FILE writes all)
    """
    shown = table.slice(0, max(rows, 0)).to_pylist()
    cells = [[_cell(row[name]) for name in table.column_names] for row in shown]
    widths = [max(len(line[i]) for line in [table.column_names, *cells]) for i in range(table.num_columns)]
    right = [pa.types.is_integer(f.type) or pa.types.is_floating(f.type) for f in table.schema]
    lines = [
        "   ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [table.column_names, *cells]
    ]
    more = table.num_rows - len(shown)
    if more:
        lines.append(f"... {more:,} more of {table.num_rows:,} (-o FILE writes all)")
    return "\n".join(lines)


def _cell(value: object) -> str:
    """One value as text on one line; a long one ends in an ellipsis."""
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "…"


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """A batch that only says which columns there would be."""
    return pa.RecordBatch.from_pylist([], schema=schema)
