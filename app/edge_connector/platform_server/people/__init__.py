"""People: how they sign in, where they belong, what their connectors may do. No HTTP here; pages and API call it."""
