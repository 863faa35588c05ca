"""What models refuse and what they cost: rules and prices, each with source and date."""
