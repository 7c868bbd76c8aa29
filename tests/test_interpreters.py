"""Sub-interpreters are refused by name, with a GIL of their own or without, and the main interpreter goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEGACY = """
import _xxsubinterpreters as interpreters
new = interpreters.create(isolated={own})
"""
NEW = """
import _interpreters as interpreters
new = interpreters.create({config!r})
"""
REST = """
import sys
try:
    interpreters.run_string(new, '''
import sys
sys.path[:] = {path!r}
try:
    import tocsin
except ImportError as refused:
    assert "tocsin cannot be imported in a sub-interpreter" in str(refused), refused
    assert "numpy" not in sys.modules
    print("refused", flush=True)
''')
finally:
    interpreters.destroy(new)
import tocsin
print(tocsin.match_recognize({{"x": [1, 2]}}, "MEASURES a.x AS x PATTERN (a)").num_rows)
"""


@pytest.mark.parametrize("own", [True, False], ids=["own GIL", "shared GIL"])
def test_a_sub_interpreter_is_refused(own: bool) -> None:
    if sys.version_info >= (3, 13):
        head = NEW.format(config="isolated" if own else "legacy")
    else:
        head = LEGACY.format(own=own)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", head + REST.format(path=sys.path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "refused\n2\n"
