"""Stores, compiles, loads and runs generated kernels."""
