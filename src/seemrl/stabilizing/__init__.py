"""Normalisers put into somebody else's torch network, as it stands."""
