"""Turns a graph into a program: fusion groups, iteration domains, and a memory plan."""
