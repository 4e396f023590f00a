"""How elements are distributed where that is not normal, and what knows of it."""
