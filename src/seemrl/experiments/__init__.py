"""Named experiments: each is a command that ends in something to look at."""
