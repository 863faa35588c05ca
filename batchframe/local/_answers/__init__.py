"""Who answers a request: a function, an upstream, or a simulation."""
