"""Judging predictions against what people said: how right, for whom, and how sure."""
