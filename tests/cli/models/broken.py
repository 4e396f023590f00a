"""A file that cannot be executed."""
