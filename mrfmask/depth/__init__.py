"""Depth completion: where to measure, and what the measured depths say about all others."""
