"""README's Python runs as it stands, one block after the other, and prints what the block after it says."""

import contextlib
import io
import tempfile

from papers import ROOT, blocks


def test_the_python_of_the_readme_runs_and_prints_what_it_says(tmp_path, monkeypatch):
    here, made = tmp_path / "here", tmp_path / "made"
    here.mkdir()
    made.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    found = blocks(ROOT / "README.md")
    names = {"__name__": "readme"}
    checked = 0
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.language != "python":
            continue
        said = io.StringIO()
        # Line numbers of a traceback are those of the file.
        code = compile("\n" * (block.line - 1) + block.text, "README.md", "exec")
        with contextlib.redirect_stdout(said):
            exec(code, names)
        assert after is not None
        assert after.language == "text", f"README.md, line {block.line}: a block with its output must follow"
        assert said.getvalue() == after.text
        checked += 1
    assert checked >= 2
    assert list(here.iterdir()) == []


def test_the_first_example_is_short():
    first = next(block for block in blocks(ROOT / "README.md") if block.language == "python")
    assert len([line for line in first.text.splitlines() if line.strip()]) <= 10
