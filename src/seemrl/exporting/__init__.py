"""Trained policies as files that others run: weights with their recipe, StableHLO, ONNX."""
