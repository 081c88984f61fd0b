"""The selective scan: its contract, the reference that defines it, and one file a backend."""
