"""Sub-commands for a robot: is everything in place, and is all well."""
