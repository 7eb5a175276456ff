"""How far the forecasts can be trusted: a corpus of runs, and the questions put to it."""
