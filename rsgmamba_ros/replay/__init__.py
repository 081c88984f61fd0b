"""Replay of bags through the whole path, and its evaluation."""
