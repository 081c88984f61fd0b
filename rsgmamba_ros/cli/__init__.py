"""The `rsgmamba` command: one thin file a sub-command."""
