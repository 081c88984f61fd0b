"""Metrics, protocols, bag replay and reports."""
