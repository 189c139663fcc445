"""The command line; it talks REST to a running service."""
