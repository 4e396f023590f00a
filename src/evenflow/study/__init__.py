"""Experiments: data, networks, training, one file a reproduction."""
