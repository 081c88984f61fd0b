"""Image messages and their serialised form -> arrays."""
