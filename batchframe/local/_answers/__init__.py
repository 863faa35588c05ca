"""Who answers a request, and the response bodies of each endpoint."""
