"""Benchmarks of batchframe, as ratios to plain implementations in the same run.

``python -m benchmarks`` prints a table and writes a JSON file; see docs/performance.md.
"""
