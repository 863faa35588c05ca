"""Read rows and images in, as Arrow text."""
