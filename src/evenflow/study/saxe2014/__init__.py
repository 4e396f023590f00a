"""Saxe et al. 2014: deep linear networks, Gaussian and orthogonal starts."""
