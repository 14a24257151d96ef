"""Modules for training: differentiable layers and losses over Ising models."""
