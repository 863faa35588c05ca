"""HTTP layer: addresses, routes, uploads and request parameters."""
