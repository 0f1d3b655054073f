"""Golden vectors of the original systems, run through the project's own implementation: ``python -m tests.parity PATH...``."""
