"""Saved critics read from the command line: their class, their weights, their policy, their data."""
