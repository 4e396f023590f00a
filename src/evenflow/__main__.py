"""``python -m evenflow``: the same as the command ``evenflow``."""

from evenflow.cli import main

if __name__ == "__main__":  # worker processes import this module too
    main(prog_name="evenflow")
