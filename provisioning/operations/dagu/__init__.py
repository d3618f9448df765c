"""What can be asked of Dagu files."""
