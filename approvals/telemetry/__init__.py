"""What operators see from outside: counters for Prometheus, spans for OpenTelemetry."""
