"""Connectors: what joins an engine to other systems; each only pushes at the front or reads at the end.

None is imported by the engine, and none imports its library before it is used.
"""
