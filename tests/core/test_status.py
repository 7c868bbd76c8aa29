"""Every outcome code becomes its exception, with a text that names place, values and remedy."""

import pytest

from tocsin_core import status
from tocsin_core.testing import fault_error

CASES = [
    (1, MemoryError, "out of memory: a table"),
    (2, status.SchemaError, "a table at row 7 of the batch"),
    (3, status.EvaluationError, "integer overflow in 'a table' of 3 and 4 at row 7"),
    (4, status.EvaluationError, "integer division by zero (3 a table 0) at row 7"),
    (5, status.OrderError, "the order falls at row 7 of the batch: 3 comes after 4"),
    (6, status.LimitError, "a table reached: 3 of at most 4"),
    (7, status.ClosedError, "a table is closed"),
    (8, status.BackpressureError, "a table is full"),
    (9, status.StateError, "a table; nothing was restored"),
    (10, status.OrderError, "a table at row 7 of the batch"),
    (11, status.SchemaError, "a table at row 7"),
    (12, status.LimitError, "a table would pass what one Arrow batch can hold (3, at most 4)"),
    (13, status.EvaluationError, "the time 3 is beyond what its unit can hold at row 7"),
    (99, status.TocsinError, "unknown outcome 99"),
]


@pytest.mark.parametrize(("code", "kind", "text"), CASES)
def test_each_code_has_its_exception_and_words(code, kind, text):
    error = fault_error(code, row=7, value=3, other=4, text=b"a table", context="DEFINE b")
    assert type(error) is kind
    assert str(error).startswith("DEFINE b: ")
    assert text in str(error)


@pytest.mark.parametrize("code", [code for code, _, _ in CASES])
def test_a_fault_without_text_row_or_context_still_says_something(code):
    error = fault_error(code)
    assert len(str(error)) > 10
    assert "at row" not in str(error)
    assert not str(error).startswith(":")


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (status.PatternError, ValueError),
        (status.SchemaError, ValueError),
        (status.EvaluationError, ArithmeticError),
        (status.OrderError, ValueError),
        (status.BackpressureError, Exception),
        (status.LimitError, Exception),
        (status.StateError, ValueError),
        (status.StoreError, OSError),
        (status.ClosedError, RuntimeError),
    ],
)
def test_every_error_is_a_tocsin_error_and_what_python_calls_it(kind, also):
    assert issubclass(kind, status.TocsinError)
    assert issubclass(kind, also)
    assert kind.__doc__
    assert "Example:" in kind.__doc__
    with pytest.raises(also, match="why"):
        raise kind("why")
