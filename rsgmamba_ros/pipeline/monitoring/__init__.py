"""What pixels, stamps and counters tell about the inputs and the node."""
