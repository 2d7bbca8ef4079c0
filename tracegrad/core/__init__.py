"""The structures that every other room stands on: pytrees, avals, ops, graphs, and the one door that applies an op."""
