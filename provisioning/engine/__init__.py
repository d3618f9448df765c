"""Turns the decisions of the core into calls on its ports."""
