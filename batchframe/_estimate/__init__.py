"""Requests to tokens and USD, before anything is sent."""
