"""Batch services: provider profiles, the protocol, the openai adapter."""
