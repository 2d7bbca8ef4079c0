"""``tuple``, ``list``, ``dict``, ``isinstance`` and ``type`` for values that may be boxes.

Containers are Python's own, with boxes in them; a box answers for the value it holds.
"""

from __future__ import annotations

import builtins
from typing import Any

from tracegrad.compat.absent import refusing
from tracegrad.compat.boxes import ArrayBox, getval

__getattr__ = refusing(__name__)
__all__ = ["dict", "isinstance", "list", "tuple", "type"]

tuple: Any = builtins.tuple  # noqa: A001 - HIPS autograd's name
list: Any = builtins.list  # noqa: A001 - HIPS autograd's name
dict: Any = builtins.dict  # noqa: A001 - HIPS autograd's name


def isinstance(obj: Any, class_or_tuple: Any, /) -> bool:  # noqa: A001 - HIPS autograd's name
    """``isinstance`` of the value: a box with axes is an ``np.ndarray``, one without a ``float`` or ``np.float64``.

    >>> isinstance(2.0, float)
    True
    """
    return builtins.isinstance(getval(obj), class_or_tuple) or builtins.isinstance(obj, class_or_tuple)


def type(obj: Any, /) -> Any:  # noqa: A001 - HIPS autograd's name
    """``type`` of the value.

    >>> type([]) is list
    True
    """
    return builtins.type(getval(obj) if builtins.type(obj) is ArrayBox else obj)
