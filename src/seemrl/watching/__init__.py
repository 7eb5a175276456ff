"""A run in the terminal while it grows: run directories and monitors' logs, read from outside."""
