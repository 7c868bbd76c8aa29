"""The packaging says what the folders say: nothing that exists is left out of a wheel."""

import sys
import tomllib
from pathlib import Path

import pytest

import tocsin
import tocsin.version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_of_modules_is_a_package():
    """setup.py finds packages by their __init__.py: a folder without one would be missing in the wheel."""
    modules = [*(ROOT / "python").rglob("*.py"), *(ROOT / "engine_core").glob("*.py")]
    assert {str(m.parent) for m in modules} == {str(m.parent) for m in modules if m.name == "__init__.py"}


def test_no_package_below_the_engine_imports_it():
    """storage, language and handlers stand under the engine: an import of it would close a circle."""
    root = ROOT / "python" / "tocsin"
    below = ["dead_letters", "dispatch", "handlers", "lanes", "loop_lane", "matches", "outlet"]
    files = [root / f"{name}.py" for name in below]
    files += [*(root / "storage").glob("*.py"), *(root / "language").glob("*.py")]
    for file in files:
        if file.exists():
            text = file.read_text(encoding="utf-8")
            assert "import Engine" not in text, file
            assert "tocsin.engine" not in text, file


@pytest.mark.parametrize("marker", ["engine_core/py.typed", "python/tocsin/py.typed"])
def test_types_are_shipped(marker):
    assert (ROOT / marker).exists()


def test_the_core_imports_only_itself_and_the_standard_library():
    allowed = {"", "tocsin_core", "cpython", "libc", "libcpp", "cython", *sys.stdlib_module_names}
    for source in (ROOT / "engine_core").glob("*.pyx"):
        for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                assert words[1].split(".")[0] in allowed, f"{source.name}:{number}: {line}"


def test_the_version_is_the_distribution_version():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert tocsin.version.__version__.count(".") == 2
