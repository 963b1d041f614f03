"""Checkpoints and inference."""
