"""Datasets, synthetic scenes, corruption families and bags."""
