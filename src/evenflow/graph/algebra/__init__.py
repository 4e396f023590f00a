"""What rules are made of: pairs of elements, and what views, sums and activations do to them."""
