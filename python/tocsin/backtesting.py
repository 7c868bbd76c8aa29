"""backtest: one pattern with many settings over the same history, in one pass.

    data ──▶ batch ──┬──▶ operator for threshold=10, n=3
                     ├──▶ operator for threshold=10, n=4      each timed by itself
                     └──▶ ...

Every combination of values is compiled before the first event is read, so a mistake in one shows at once. Then each
batch goes to all of them in turn: the history is read once, however many there are.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tocsin_core.batch import Batch
from tocsin_core.operator import Operator

from .compile.assemble import Assembled, build
from .errors import EvaluationError, LimitError, PatternError, TocsinError
from .progress import Progress
from .tables import as_table


def backtest(
    pattern: Callable[..., Any],
    data: Any,
    grid: Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]],
    *,
    max_steps: int | None = None,
    progress: bool = False,
) -> pa.Table:
    """What a pattern would have found with each of many settings.

    Args:
        pattern: called with one value for each name of the grid, by keyword; returns the text of a clause or of a
            condition, or a condition made with `col`.
        data: the history: anything that speaks the Arrow PyCapsule interface (`Store.scan(...)`, a table, a reader), or
            a dict of numpy arrays. In the order of the patterns' ORDER BY. It is read once, batch by batch.
        grid: {name: values}: all combinations; or the combinations themselves, as dicts with the same names.
        max_steps: as in `match_recognize`.
        progress: draw a progress bar on standard error, if that is a terminal.

    Returns:
        A pyarrow.Table with a row for each combination, in the order of the grid: its values, then `matches` (int64:
        rows found; left out are matches without a value, whose number is `faults`), `faults` (int64), `seconds`
        (float64, of this combination alone) and `events_per_second` (float64).

    Raises:
        PatternError: some combination gives a pattern that is wrong. OrderError: `data` is out of order.
        EvaluationError: a condition has no value for some event. A note names the combination. ValueError: an empty
        grid, or combinations with different names.

    >>> import tocsin as tc
    >>> prices = {"t": [1, 2, 3, 4, 5, 6], "price": [9, 7, 8, 9, 6, 7]}
    >>> found = tc.backtest(
    ...     lambda rise, least: f"ORDER BY t MEASURES LAST(up.t) AS top PATTERN (down up{{{least},}}) "
    ...                         f"DEFINE down AS price < PREV(price), up AS price >= PREV(price) + {rise}",
    ...     prices, {"rise": [1, 2], "least": [1, 2]})
    >>> found.select(["rise", "least", "matches"]).to_pydict()
    {'rise': [1, 1, 2, 2], 'least': [1, 2, 1, 2], 'matches': [2, 1, 0, 0]}
    """
    settings = _settings(grid)
    if isinstance(data, Mapping) or not hasattr(data, "__arrow_c_stream__"):
        data = as_table(data)
    total = data.num_rows if isinstance(data, pa.Table) else None
    stream = Batch.import_stream(data)
    schema = pa.schema(stream.schema)
    runs = [_Run(pattern, values, schema, max_steps) for values in settings]
    events = 0
    with Progress("backtest", total=total if progress else None) as bar:
        for batch in stream:
            for run in runs:
                run.take(batch, events)
            events += len(batch)
            if progress:
                bar.update(len(batch))
        for run in runs:
            run.finish()
    columns: dict[str, Any] = {name: [values[name] for values in settings] for name in settings[0]}
    columns["matches"] = pa.array([run.matches for run in runs], pa.int64())
    columns["faults"] = pa.array([run.faults for run in runs], pa.int64())
    columns["seconds"] = pa.array([run.seconds for run in runs], pa.float64())
    columns["events_per_second"] = pa.array([events / max(run.seconds, 1e-9) for run in runs], pa.float64())
    return pa.table(columns)


def _settings(grid: Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(grid, Mapping):
        names = list(grid)
        settings = [dict(zip(names, values, strict=True)) for values in itertools.product(*grid.values())]
        if not names:
            settings = []
    else:
        settings = [dict(values) for values in grid]
    if not settings:
        raise ValueError("backtest: the grid has no combination of values; give {name: [values]}")
    for values in settings:
        if values.keys() != settings[0].keys():
            raise ValueError(f"backtest: the combinations {settings[0]} and {values} have different names")
    clash = settings[0].keys() & {"matches", "faults", "seconds", "events_per_second"}
    if clash:
        raise ValueError(f"backtest: {sorted(clash)} are columns of the result; name the parameter otherwise")
    return settings


class _Run:
    """One combination of values and its operator."""

    def __init__(
        self, pattern: Callable[..., Any], values: dict[str, Any], schema: pa.Schema, max_steps: int | None
    ) -> None:
        self._values = values
        try:
            self._assembled: Assembled = build(pattern(**values), schema, max_steps=max_steps)
        except PatternError as wrong:
            wrong.add_note(f"backtest: with {values}")
            raise
        self._operator: Operator = self._assembled.operator
        self.matches = self.faults = 0
        self.seconds = 0.0

    def take(self, batch: Batch, sequence: int) -> None:
        """The next events."""
        self._timed(lambda: self._operator.run(batch, sequence), sequence, len(batch))

    def finish(self) -> None:
        """The end of the history."""
        self._timed(self._operator.run_finish, 0, 0)

    def _timed(self, call: Callable[[], Batch | None], sequence: int, count: int) -> None:
        begun = time.perf_counter()
        found: Batch | None = None
        while True:
            try:
                found = call()
                break
            except TocsinError as wrong:
                matcher = self._assembled.matcher
                taken = matcher is not None and (not count or matcher.sequence == sequence + count)
                if not taken or not isinstance(wrong, (EvaluationError, LimitError)):
                    where = f"events {sequence} to {sequence + count - 1}" if count else "the end"
                    wrong.add_note(f"backtest: with {self._values}, {where}; nothing of it was taken")
                    raise
                self.faults += 1  # that match is left out; what waits behind it comes with the next call
                call = self._operator.run_finish if not count else self._rest
        self.seconds += time.perf_counter() - begun
        self.matches += 0 if found is None else len(found)

    def _rest(self) -> Batch | None:
        return self._operator.run_advance(-(2**63))
