"""Several uses of one weight: what they have in common."""
