"""Batches and files: validated, run and stored."""
