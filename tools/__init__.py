"""Scripts that write the package's data files: ``python -m tools.NAME``."""
