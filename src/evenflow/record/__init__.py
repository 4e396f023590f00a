"""What was measured on a real network."""
