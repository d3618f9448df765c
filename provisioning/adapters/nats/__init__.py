"""Every port on NATS JetStream. Nothing of nats-py is imported before a connection is made."""
