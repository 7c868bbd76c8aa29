"""Benchmarks: every speed promise beside its reference, in one run, on the same data, with equal answers."""
