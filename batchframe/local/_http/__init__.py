"""The HTTP side: addresses, routes, uploads and the parameters of requests."""
