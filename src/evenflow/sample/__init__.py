"""Counter-based random values: (seed, name, index) to bits to a distribution."""
