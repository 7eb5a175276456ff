"""Small problems of our own, for theory and tests: they need no simulator."""
