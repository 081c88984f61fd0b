"""The demo: its phases, recording, summary and picture."""
