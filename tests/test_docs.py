"""The papers keep their word: examples in docs/ run and print what they say, and no link leads nowhere."""

import doctest
import tempfile

import pytest

from papers import PAPERS, blocks, links

WITH_EXAMPLES = [path for path in PAPERS if any(b.text.startswith(">>>") for b in blocks(path))]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def test_the_semantics_have_examples():
    assert "semantics.md" in {path.name for path in WITH_EXAMPLES}


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.name)
def test_examples_run(path, tmp_path, monkeypatch):
    """The blocks of one file share their names, as one session would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = {}
    said = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for block in blocks(path):
        if block.language == "python":
            name = f"{path.name}:{block.line}"
            test = doctest.DocTestParser().get_doctest(block.text, names, name, str(path), block.line - 1)
            assert test.examples, f"{name}: a block without an example"
            runner.run(test, out=said.append, clear_globs=False)
            names = test.globs
    assert not said, "".join(said)


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    missing = [target for target in links(path) if not (path.parent / target).exists()]
    assert not missing
