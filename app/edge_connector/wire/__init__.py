"""Tool RPC v1, sans-IO, both ends. Described for other teams in docs/tool-rpc.md."""
