"""Recurrent layers and scans, moment by moment."""
