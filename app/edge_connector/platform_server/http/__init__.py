"""The HTTP side of the platform: operations, the fast call endpoint and the few pages. It holds no state of its own."""
