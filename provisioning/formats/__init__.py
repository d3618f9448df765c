"""Text to core records and back."""
