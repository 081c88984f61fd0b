"""Stamped images -> image bundles, each by its deadline."""
