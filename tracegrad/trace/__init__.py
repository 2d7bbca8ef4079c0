"""Runs a twin of the user's function once with symbolic arrays and records the graph it draws."""
