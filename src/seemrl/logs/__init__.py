"""Logs that people have, whoever wrote them, and the forecast from the Q curve in them."""
