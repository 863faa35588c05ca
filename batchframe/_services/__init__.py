"""The service that is asked: provider profiles, the network seam, the openai adapter."""
