"""The REST API: a route parses, calls one use case, shapes the answer."""
