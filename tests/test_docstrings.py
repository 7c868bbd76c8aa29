"""Docstrings keep their word: every example runs, and every public name says what it takes and shows one."""

import doctest
import importlib
import inspect
import pkgutil
import tempfile

import pytest

import tocsin
from tocsin.language.expression import Operators
from tocsin.storage import LogFolder, Store
from tocsin.stream import Stream
from tocsin.sync import Sync
from tocsin.ticket import Ticket
from tocsin.trigger import Trigger

MODULES = [
    "tocsin",
    *(m.name for m in pkgutil.walk_packages(tocsin.__path__, "tocsin.") if not m.name.endswith("__main__")),
]
FLAGS = doctest.NORMALIZE_WHITESPACE

# The classes whose methods people call, though not all of them are made by name.
CLASSES = [tocsin.Engine, tocsin.Matcher, Store, LogFolder, Stream, Sync, Ticket, Trigger, Operators]


def is_error(value):
    return isinstance(value, type) and issubclass(value, Exception)


def public_callables():
    """(name, what carries the docstring, the function that has the parameters)."""
    for name in tocsin.__all__:
        value = getattr(tocsin, name)
        if callable(value) and not is_error(value):
            yield name, value, value.__init__ if isinstance(value, type) else value
    for owner in CLASSES:
        for name, value in vars(owner).items():
            if not name.startswith("_") and inspect.isfunction(value):
                yield f"{owner.__name__}.{name}", value, value


PUBLIC = {name: (documented, function) for name, documented, function in public_callables()}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        said = []
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
        assert not said, "".join(said)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_shows_an_example_and_names_its_arguments(name):
    documented, function = PUBLIC[name]
    text = inspect.getdoc(documented)
    assert text is not None
    assert ">>>" in text
    parameters = [p for p in inspect.signature(function).parameters if p != "self"]
    assert not parameters or "Args:" in text
    for parameter in parameters:
        assert parameter in text.partition("Args:")[2], parameter


def test_every_property_is_described():
    for owner in CLASSES:
        for name, value in vars(owner).items():
            if isinstance(value, property) and not name.startswith("_"):
                assert inspect.getdoc(value), f"{owner.__name__}.{name}"


def test_every_error_is_described():
    errors = [value for value in map(tocsin.__dict__.get, tocsin.__all__) if is_error(value)]
    assert len(errors) == 11
    assert all(inspect.getdoc(error) for error in errors)
