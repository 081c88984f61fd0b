"""What watches a replay and keeps what it needs."""
