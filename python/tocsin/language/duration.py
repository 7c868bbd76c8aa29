"""Durations, as expressions and patterns have them; storage has the same (tocsin/duration.py)."""

from tocsin.duration import NANOSECONDS, duration_ns, is_numpy

__all__ = ["NANOSECONDS", "duration_ns", "is_numpy"]
