"""Chains of primitive operations become single ones that have a rule."""
