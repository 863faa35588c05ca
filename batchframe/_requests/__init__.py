"""Recipe and rows to request lines and input files."""
