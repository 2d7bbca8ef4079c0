"""What stands around training: data sets and their batches."""

from tracegrad.eager.utils import data

__all__ = ["data"]
