"""Batches: their files on disk, their validation, and the work on them."""
