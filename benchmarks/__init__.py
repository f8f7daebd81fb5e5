"""Benchmarks: what edgesearch is held against, and how the comparison is judged."""
