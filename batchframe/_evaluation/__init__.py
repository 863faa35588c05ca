"""Accuracy of labels, and agreement between columns of labels."""
