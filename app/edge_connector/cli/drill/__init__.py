"""`edge-connector drill`: a storm of faults around a platform and a connector of its own, and checks of its outcome."""
