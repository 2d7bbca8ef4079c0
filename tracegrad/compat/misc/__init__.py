"""``flatten`` and what HIPS autograd has beside it: optimisers, fixed points."""

from tracegrad.compat.absent import refusing
from tracegrad.compat.misc import fixed_points, optimizers
from tracegrad.compat.misc.fixed_points import fixed_point
from tracegrad.compat.misc.flatten import flatten

__all__ = ["fixed_point", "fixed_points", "flatten", "optimizers"]

__getattr__ = refusing(__name__)
