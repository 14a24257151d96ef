"""Learning from examples."""
