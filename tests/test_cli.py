"""The command: what it prints, where, and its exit codes. Clause semantics are tested elsewhere."""

import gzip
import io
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from tocsin import cli
from tocsin.files import EventFile, FileError, MatchFile, format_of
from tocsin.progress import Progress

CLAUSE = """PARTITION BY account ORDER BY ts
    MEASURES FIRST(probe.ts) AS started, hit.ts AS ended, COUNT(probe.*) AS probes
    PATTERN (probe{3,} hit)
    DEFINE probe AS amount < 10, hit AS amount > 1000"""

EVENTS = pa.table(
    {
        "ts": pa.array([0, 1, 2, 3, 4, 5], pa.timestamp("s")),
        "account": ["a", "a", "b", "a", "a", "b"],
        "amount": [1.5, 2.5, 3.5, 4.5, 2000.5, 5.5],
    }
)
EXPECTED = [{"account": "a", "started": 0, "ended": 4, "probes": 3}]
SUFFIXES = [".parquet", ".arrow", ".feather", ".csv", ".tsv", ".csv.gz", ".ndjson"]


def write(table: pa.Table, path: Path) -> Path:
    name = path.name
    if name.endswith(".parquet"):
        pq.write_table(table, path)
    elif name.endswith((".arrow", ".feather")):
        feather.write_feather(table, str(path))
    elif name.endswith((".csv", ".tsv", ".csv.gz")):
        sink = io.BytesIO()
        delimiter = "\t" if ".tsv" in name else ","
        pa_csv.write_csv(table, sink, pa_csv.WriteOptions(delimiter=delimiter))
        path.write_bytes(gzip.compress(sink.getvalue()) if name.endswith(".gz") else sink.getvalue())
    else:
        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist()))
    return path


def as_rows(table: pa.Table) -> list[dict]:
    """Rows with times as whole seconds, whatever unit the file's format gave them."""
    for name in ("started", "ended"):
        seconds = table[name].cast(pa.timestamp("s")).cast(pa.int64())
        table = table.set_column(table.column_names.index(name), name, seconds)
    return table.select(["account", "started", "ended", "probes"]).to_pylist()


def run(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tocsin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


# -- match ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_match_reads_every_format(tmp_path, suffix):
    out = tmp_path / "matches.parquet"
    assert cli.main(["match", CLAUSE, str(write(EVENTS, tmp_path / f"events{suffix}")), "-o", str(out)]) == 0
    assert as_rows(pq.read_table(out)) == EXPECTED


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".tsv", ".ndjson"])
def test_match_writes_every_format(tmp_path, suffix):
    out = tmp_path / f"matches{suffix}"
    events = write(EVENTS, tmp_path / "events.arrow")
    assert cli.main(["match", CLAUSE, str(events), "-o", str(out)]) == 0
    assert [row["probes"] for batch in EventFile(out) for row in batch.to_pylist()] == [3]
    assert sorted(tmp_path.iterdir()) == sorted([events, out])  # nothing partial is left


def test_match_counts_on_standard_error(tmp_path, capsys):
    events = write(EVENTS, tmp_path / "events.arrow")
    cli.main(["match", CLAUSE, str(events), "-o", str(tmp_path / "m.arrow")])
    assert capsys.readouterr().err.startswith("tocsin: 1 matches in 6 events")


def test_match_into_a_pipe_is_csv(tmp_path):
    done = run("match", CLAUSE, write(EVENTS, tmp_path / "events.arrow"))
    assert done.returncode == 0
    assert as_rows(pa_csv.read_csv(io.BytesIO(done.stdout.encode()))) == EXPECTED
    assert "\r" not in done.stderr  # no progress bar


def test_match_of_a_stream_file_and_of_many_batches(tmp_path):
    path = tmp_path / "events.arrow"
    with pa.ipc.new_stream(path, EVENTS.schema) as sink:
        sink.write_table(EVENTS, max_chunksize=2)
    out = tmp_path / "m.arrow"
    assert cli.main(["match", CLAUSE, str(path), "-o", str(out)]) == 0
    assert as_rows(feather.read_table(out)) == EXPECTED


def test_match_sorts_an_unsorted_file_and_says_so(tmp_path, capsys):
    events = write(EVENTS.take([5, 4, 3, 2, 1, 0]), tmp_path / "events.parquet")
    out = tmp_path / "m.parquet"
    assert cli.main(["match", CLAUSE, str(events), "-o", str(out)]) == 0
    assert as_rows(pq.read_table(out)) == EXPECTED
    assert "to sort it in memory" in capsys.readouterr().err


def test_match_without_a_match_writes_the_columns(tmp_path):
    out = tmp_path / "m.parquet"
    events = write(EVENTS.slice(0, 2), tmp_path / "events.parquet")
    assert cli.main(["match", CLAUSE, str(events), "-o", str(out)]) == 0
    table = pq.read_table(out)
    assert table.num_rows == 0
    assert "probes" in table.column_names


def test_a_clause_can_come_from_a_file(tmp_path, capsys):
    (tmp_path / "clause.sql").write_text(CLAUSE)
    events = write(EVENTS, tmp_path / "events.csv")
    assert cli.main(["match", f"@{tmp_path / 'clause.sql'}", str(events)]) == 0
    assert "account" in capsys.readouterr().out


# -- a user's mistakes: exit code 2, no traceback, nothing written -------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        ([], "a command is missing"),
        (["mtach"], "invalid choice"),
        (["match", CLAUSE], "FILE"),
        (["match", CLAUSE, "nowhere.parquet"], "nowhere.parquet"),
        (["match", CLAUSE, "events.xlsx"], "cannot tell the format"),
        (["match", "@nowhere.sql", "events.csv"], "nowhere.sql"),
        (["explain", CLAUSE], "either a FILE or --schema"),
        (["explain", CLAUSE, "--schema", "ts"], "'ts' is not \"name: type\""),
        (["explain", CLAUSE, "--schema", "ts: timestap"], "unknown type 'timestap'"),
        (["explain", CLAUSE, "--schema", "a: int64, a: int64"], "there twice"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, needle, capsys, monkeypatch):
    write(EVENTS, tmp_path / "events.csv")
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tocsin: ")
    assert captured.err.count("\n") == 1
    assert needle in captured.err


def test_a_wrong_clause_is_shown_with_a_caret_and_the_old_output_stays(tmp_path, capsys):
    out = tmp_path / "m.parquet"
    out.write_bytes(b"of yesterday")
    events = write(EVENTS, tmp_path / "events.parquet")
    assert (
        cli.main(["match", CLAUSE.replace("amount > 1000", "amout > 1000"), str(events), "-o", str(out)]) == 2
    )
    error = capsys.readouterr().err
    assert "amout" in error
    assert "^" in error
    assert "Traceback" not in error
    assert out.read_bytes() == b"of yesterday"


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".ndjson"])
def test_garbage_in_a_file_is_named(tmp_path, suffix, capsys):
    path = tmp_path / f"events{suffix}"
    path.write_bytes(b"\x00\xffgarbage" * 50)
    assert cli.main(["match", CLAUSE, str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_failed_write_leaves_nothing(tmp_path):
    matches = pa.record_batch({"a": [1]})

    def interrupted():
        with MatchFile(tmp_path / "m.arrow", matches.schema) as sink:
            sink.write(matches)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_matches_are_not_written_compressed(tmp_path):
    with pytest.raises(FileError, match=r"leave out \.gz"):
        MatchFile(tmp_path / "m.csv.gz", EVENTS.schema)


def test_a_gone_reader_is_no_error(tmp_path):
    many = pa.concat_tables([EVENTS.slice(0, 2)] * 40_000)
    events = write(
        many.set_column(0, "ts", pa.array(range(80_000), pa.timestamp("s"))), tmp_path / "events.arrow"
    )
    clause = "ORDER BY ts MEASURES a.ts AS ts PATTERN (a) DEFINE a AS amount < 10"
    command = [sys.executable, "-m", "tocsin", "match", clause, str(events)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 0
    assert "Traceback" not in error


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_ctrl_c_ends_with_130(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        from tocsin import cli
        cli.EventFile = lambda path: os.kill(os.getpid(), signal.SIGINT)
        sys.exit(cli.main(["match", "PATTERN (a)", "x.csv"]))
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "tocsin: stopped\n"


# -- the rest ------------------------------------------------------------------------------------------------


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "tocsin")


def test_explain_needs_only_columns(capsys):
    assert (
        cli.main(["explain", CLAUSE, "--schema", "ts: timestamp[us], account: string, amount: double"]) == 0
    )
    assert capsys.readouterr().out.strip()


def test_schema_text_knows_zones_and_brackets():
    schema = cli.parse_schema("ts: timestamp[us, tz=Europe/Paris], d: duration[ms], n:int32")
    assert schema.field("ts").type == pa.timestamp("us", tz="Europe/Paris")
    assert schema.field("d").type == pa.duration("ms")
    assert schema.field("n").type == pa.int32()


def test_table_says_how_much_it_does_not_show():
    text = cli.format_table(pa.table({"n": [1, 20, 300], "s": ["x" * 60, None, "y"]}), 2)
    assert text.splitlines()[0] == "   n   s"[-len(text.splitlines()[0]) :]
    assert "…" in text
    assert text.splitlines()[-1] == "... 1 more of 3 (-o FILE writes all)"


@pytest.mark.parametrize("name", ["a", "a.gz", "a.txt", "a.parquet.zip"])
def test_an_unknown_suffix_is_refused(name):
    with pytest.raises(FileError, match=r"known are \.parquet"):
        format_of(Path(name))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_draws_on_a_terminal_and_clears_its_line(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with Progress("pushing", total=100, file=terminal) as progress:
        progress.update(50)
    assert "pushing [####" in terminal.getvalue()
    assert "50%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_progress_is_silent_in_a_pipe():
    pipe = io.StringIO()
    with Progress("pushing", total=100, file=pipe) as progress:
        progress.update(50)
    assert pipe.getvalue() == ""
