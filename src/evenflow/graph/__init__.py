"""The network as a list of primitive operations, and the calculus of moments over it."""
