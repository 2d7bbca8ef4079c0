"""Optimisers under PyTorch's names: they write the parameters' storage in place."""

from tracegrad.eager.optim import lr_scheduler, swa_utils
from tracegrad.eager.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from tracegrad.eager.optim.lbfgs import LBFGS
from tracegrad.eager.optim.optimizer import Optimizer
from tracegrad.eager.optim.rmsprop import Adadelta, Adagrad, RMSprop
from tracegrad.eager.optim.sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
    "swa_utils",
]
