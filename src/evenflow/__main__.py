"""``python -m evenflow``: the same as the command ``evenflow``."""

from evenflow.cli import main

main(prog_name="evenflow")
