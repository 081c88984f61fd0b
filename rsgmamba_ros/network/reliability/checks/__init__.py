"""Checks that the learned head multiplies in: typicality, alignment, scale."""
