"""Answers read from result files and joined to the rows of a frame."""
