"""Draws by NumPy, so that programs see the same numbers with any library."""

import zlib

import numpy as np


def drawn(torch, key, *shape, scale=1.0):
    """Normal numbers (float64) that depend on the key and the shape alone."""
    state = np.random.RandomState(zlib.crc32(f"{key} {shape}".encode()))
    return torch.tensor(state.standard_normal(shape) * scale)


def classes(torch, key, many, *shape):
    """Class numbers."""
    state = np.random.RandomState(zlib.crc32(f"{key} {shape}".encode()))
    return torch.tensor(state.randint(0, many, shape))


def filled(torch, module, key=""):
    """The module in float64 with drawn parameters: weights near ±1/√inputs, scales near 1, biases near 0."""
    module = module.double()
    with torch.no_grad():
        for name, p in module.named_parameters():
            fan = max(p.numel() // max(p.shape[0], 1), 1) if p.dim() > 1 else 25
            centre = 1.0 if p.dim() == 1 and name.endswith("weight") else 0.0
            p.copy_(drawn(torch, key + name, *p.shape, scale=fan**-0.5) + centre)
    return module


def size(tensors):
    """One number that each element of these tensors moves."""
    return sum(float((t.detach() * (k + 1)).square().sum()) for k, t in enumerate(tensors)) ** 0.5
