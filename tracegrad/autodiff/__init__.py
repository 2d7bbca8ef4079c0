"""Derives backward and forward derivative graphs, and batched ones, from the ops' own rules."""
