"""``tracegrad demo``: one small network on real handwritten digits, trained by a dynamic and by a static graph.

Its modules are written as a user would write them, on the public names alone.
"""
