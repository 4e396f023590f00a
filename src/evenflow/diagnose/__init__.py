"""Rules over what was derived and measured, and their findings."""
