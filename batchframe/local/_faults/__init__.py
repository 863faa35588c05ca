"""Faults that the local server carries out on demand."""
