"""Simplifies graphs by re-emitting them through rules that are data."""
