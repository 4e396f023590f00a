"""Gaussian expectations, activations, gains, and the maps of mean-field theory."""
