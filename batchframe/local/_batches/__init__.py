"""Batches: storage, validation and execution."""
