"""PyTorch's functions by family, each a thin adapter of the ops."""
