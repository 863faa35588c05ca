"""Token and cost estimates of requests before submission."""
