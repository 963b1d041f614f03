"""Rows out: formats, the row log, the record of a run, resuming."""
