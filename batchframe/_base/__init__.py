"""Foundations of the package: errors, safe text, private files, clock."""
