"""Training: many networks of one shape advance together, each weight matrix is written once."""
