"""Measurements: every figure comes with the machine, the command and the date."""
