"""The command line: thin, one file a verb."""

from evenflow.cli.app import main

__all__ = ["main"]
