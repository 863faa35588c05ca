"""What is asked of every row: the template and everything else except the rows."""
