"""Agents: one file each, on one skeleton: a frozen pytree with its losses and its update."""
