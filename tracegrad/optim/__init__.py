"""Optimisers as pairs of pure functions on pytrees, so that a whole training step traces into one program.

>>> import numpy as np
>>> rule = sgd(0.5)
>>> params = {"w": np.array([1.0, 2.0])}
>>> params, state = rule.update({"w": np.array([2.0, 2.0])}, rule.init(params), params)
>>> params["w"]
array([0., 1.])

A number that changes from step to step is passed to ``update``, which takes it for the one the rule was made with; a
compiled step does not trace again for it.

>>> params, state = rule.update({"w": np.array([2.0, 2.0])}, state, params, lr=0.25)
>>> params["w"]
array([-0.5,  0.5])
"""

from tracegrad.optim.rules import (
    AdadeltaState,
    AdagradState,
    AdamaxState,
    AdamState,
    NadamState,
    Optimizer,
    RadamState,
    RmspropState,
    SgdState,
    adadelta,
    adagrad,
    adam,
    adamax,
    adamw,
    nadam,
    radam,
    rmsprop,
    sgd,
)

__all__ = [
    "AdadeltaState",
    "AdagradState",
    "AdamState",
    "AdamaxState",
    "NadamState",
    "Optimizer",
    "RadamState",
    "RmspropState",
    "SgdState",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "nadam",
    "radam",
    "rmsprop",
    "sgd",
]
