"""What can be done from here with a cluster: start runs that its workers do, follow them, and work for it."""
