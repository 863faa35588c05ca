"""Rows and images, read into Arrow strings."""
