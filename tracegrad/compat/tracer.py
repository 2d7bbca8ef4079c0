"""``Box``, ``isbox`` and ``getval`` under the module name they have in HIPS autograd."""

from tracegrad.compat.absent import refusing
from tracegrad.compat.boxes import ArrayBox as Box
from tracegrad.compat.boxes import getval
from tracegrad.compat.calls import is_box as isbox
from tracegrad.compat.extend import notrace_primitive, primitive

__getattr__ = refusing(__name__)
__all__ = ["Box", "getval", "isbox", "notrace_primitive", "primitive"]
