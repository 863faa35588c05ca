"""The prompt template and request parameters shared by all rows."""
