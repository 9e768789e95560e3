"""Tool RPC sessions of connectors and callers, and the routing of calls between them. HTTP is elsewhere."""
