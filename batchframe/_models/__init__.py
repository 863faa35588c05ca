"""Model rules and prices, each with its source and date."""
