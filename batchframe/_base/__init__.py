"""Foundations without batches: errors, safe text, private files, clock."""
