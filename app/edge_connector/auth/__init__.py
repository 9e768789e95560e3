"""Who this connector is to the platform: deployment credentials, saved tokens, and the checks before either is used."""
