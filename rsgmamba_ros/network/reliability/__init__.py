"""How reliable each modality is: the head, its evidence and its checks."""
