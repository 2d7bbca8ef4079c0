"""Writes a program's kernels as readable Python source under the one kernel signature."""
