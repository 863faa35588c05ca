"""Request lines and input files, built from a recipe and rows."""
