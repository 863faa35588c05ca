"""Submit once, track, recover."""
