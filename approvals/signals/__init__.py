"""How replicas tell each other that something changed. Hints only: they may be lost."""
