"""What a softmax does to moments, and attention with it."""
