"""Weights that a training begins from, averages, or learns from."""
