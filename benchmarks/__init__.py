"""Benchmarks that check results before they print times; see ``static_vs_eager``."""
