"""Answers to requests, and the response body of each endpoint."""
