"""What knows nothing of batches: errors, safe text, private files, clock."""
