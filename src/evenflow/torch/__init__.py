"""The home of PyTorch: trace, apply, probe."""
