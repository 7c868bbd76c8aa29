"""The papers keep their word: examples in docs/ run and print what they say, and no link leads nowhere."""

import doctest
import re
import tempfile
from graphlib import TopologicalSorter

import pytest

from papers import PAPERS, ROOT, blocks, links

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


ARCHITECTURE = ROOT / "ARCHITECTURE.md"
WALK = ROOT / "docs" / "walk.md"
NAME = re.compile(r"`([\w./]+)`")


def table(heading, paper=ARCHITECTURE):
    """The rows below the table head that begins so, as lists of cells."""
    lines = paper.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_the_walk_names_files_and_functions_that_are_there():
    steps = [cells for cells in table("step", WALK) if cells[0]]
    assert len(steps) > 15
    for _, file, functions, _ in steps:
        text = (ROOT / NAME.findall(file)[0]).read_text(encoding="utf-8")
        for function in NAME.findall(functions):
            assert re.search(rf"^\s*(def|cdef|cpdef) [^=]*\b{function}\(", text, re.M), (file, function)


def test_the_core_has_the_floors_that_the_architecture_draws():
    floors = {
        name: level
        for level, (_, files) in enumerate(table("floor of engine_core"))
        for name in NAME.findall(files)
    }
    core = ROOT / "engine_core"
    assert set(floors) == {p.stem for p in [*core.glob("*.pyx"), *core.glob("*.pxd")]}
    below = {
        name: {
            used
            for suffix in ("pxd", "pyx")
            if (core / f"{name}.{suffix}").exists()
            for used in re.findall(
                r"^from \.(\w+) c?import", (core / f"{name}.{suffix}").read_text("utf-8"), re.M
            )
        }
        - {name}
        for name in floors
    }
    for name, used in below.items():
        assert all(floors[other] <= floors[name] for other in used), name
    assert list(TopologicalSorter(below).static_order())  # raises CycleError on a circle


def test_packages_import_only_what_the_architecture_allows():
    package = ROOT / "python" / "tocsin"
    for cells in table("package of tocsin"):
        (name,) = NAME.findall(cells[0])
        allowed = {name, "errors", *NAME.findall(cells[1])}
        for file in (package / name).glob("*.py"):
            used = re.findall(r"^\s*(?:from|import) tocsin\.(\w+)", file.read_text(encoding="utf-8"), re.M)
            assert set(used) <= allowed, file
