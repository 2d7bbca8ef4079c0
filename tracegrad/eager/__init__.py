"""The dynamic-graph tensor with PyTorch's semantics, on the same ops and the same rules."""
