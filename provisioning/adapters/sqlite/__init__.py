"""Journal, history, inbox, tasks and timers in one SQLite file."""
