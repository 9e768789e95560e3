"""The health endpoints for probes and people: /livez, /healthz, /statusz, /metrics."""
