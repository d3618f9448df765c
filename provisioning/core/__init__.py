"""Decisions: no IO, no clock, no asyncio, no randomness."""
