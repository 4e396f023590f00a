"""Findings and records as text, charts, HTML, JSON, SARIF and JUnit.

Charts are in ``evenflow.report.charts``, which loads Altair and so is imported where needed.
"""

from evenflow.report.comparison import Comparison, TrainingCurve, Trial
from evenflow.report.junit import to_junit
from evenflow.report.page import to_html
from evenflow.report.report import PlanRow, Report
from evenflow.report.sarif import to_sarif
from evenflow.report.structured import to_json
from evenflow.report.text import renderable, to_text
from evenflow.report.write import FORMATS, render, write

__all__ = [
    "FORMATS",
    "Comparison",
    "PlanRow",
    "Report",
    "TrainingCurve",
    "Trial",
    "render",
    "renderable",
    "to_html",
    "to_json",
    "to_junit",
    "to_sarif",
    "to_text",
    "write",
]
