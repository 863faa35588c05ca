"""Labels against a truth, and labels against each other."""
