"""A small, self-hosted platform: HTTP API, Tool RPC sessions, store. The connector is a stranger to it."""
