"""Fingerprint: tells the saved state of one plan from that of any other."""

from __future__ import annotations

import hashlib

import pyarrow as pa

from tocsin.compile.plan import Plan


def fingerprint(plan: Plan, output_schema: pa.Schema, *ways: object) -> bytes:
    """16 bytes of the plan, what it reads and gives, and of the `ways` in which it is run."""
    mark = repr((plan, plan.schema.remove_metadata().to_string(), output_schema.to_string(), ways))
    return hashlib.blake2b(mark.encode(), digest_size=16).digest()
