"""Errors and distributions: metres in, metres out."""
