"""Networks whose layers record themselves for the instrument."""
