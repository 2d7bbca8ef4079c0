"""The rules by stage, in the order in which they are tried."""

from tracegrad.rewrite.pattern import Stage
from tracegrad.rewrite.rules.algebra import RULES as ALGEBRA
from tracegrad.rewrite.rules.canonicalise import RULES as CANONICALISE
from tracegrad.rewrite.rules.factors import RULES as FACTORS
from tracegrad.rewrite.rules.fold import RULES as FOLD
from tracegrad.rewrite.rules.products import RULES as PRODUCTS
from tracegrad.rewrite.rules.sink import RULES as SINK
from tracegrad.rewrite.rules.stabilise import RULES as STABILISE

STAGES = (
    Stage("canonicalise", CANONICALISE),
    Stage("fold", FOLD),
    Stage("algebra", ALGEBRA),
    Stage("stabilise", STABILISE),
    Stage("products", PRODUCTS),
    Stage("factors", FACTORS),
    Stage("sink views", SINK),
)
"""All rules; ``explain`` prints these names."""
