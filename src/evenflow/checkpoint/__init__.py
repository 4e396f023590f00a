"""Checkpoints on disk, written and read by parts: larger than memory, and nothing executed."""
