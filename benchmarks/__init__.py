"""How fast batchframe is, as ratios to what anybody could write, measured in one run.

``python -m benchmarks`` prints a table and writes a JSON file; docs/performance.md tells how.
"""
