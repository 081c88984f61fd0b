"""The network against its baselines: same data, steps and size."""
