"""Kernels over the nodes of any graph, compiled by numba; import when used: numba loads slowly."""
