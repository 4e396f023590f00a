"""Moments of numbers that are known, and numbers of known moments."""
