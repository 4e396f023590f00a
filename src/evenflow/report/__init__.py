"""Findings and records as text, charts, HTML, JSON, SARIF and JUnit."""
