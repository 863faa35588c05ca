"""Benchmarks of batchframe, as ratios to plain implementations.

``python -m benchmarks`` prints a table and writes a JSON file; see docs/performance.md.
"""
