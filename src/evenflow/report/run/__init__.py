"""The page of a training, and of two side by side."""

from evenflow.report.run.page import compare_page, run_page
from evenflow.report.run.text import run_text

__all__ = ["compare_page", "run_page", "run_text"]
