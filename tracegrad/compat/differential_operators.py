"""The transforms under the module name they have in HIPS autograd."""

from tracegrad.compat.operators import *  # noqa: F403
