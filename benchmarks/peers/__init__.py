"""The same programs in tracegrad and in its peers: ``python -m benchmarks.peers``."""
