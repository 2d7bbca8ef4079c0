"""The rules by stage, in the order in which they are tried."""

from tracegrad.rewrite.pattern import Stage
from tracegrad.rewrite.rules import algebra, canonicalise, fold, sink, stabilise

STAGES = (
    Stage("canonicalise", canonicalise.RULES),
    Stage("fold", fold.RULES),
    Stage("algebra", algebra.RULES),
    Stage("stabilise", stabilise.RULES),
    Stage("sink views", sink.RULES),
)
"""All rules; ``explain`` prints these names."""
