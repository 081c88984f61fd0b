"""Images -> features of four stages."""
