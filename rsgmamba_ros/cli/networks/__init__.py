"""Sub-commands about networks as files: what they hold, and other formats."""
