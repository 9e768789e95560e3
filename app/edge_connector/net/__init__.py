"""Connections to other machines: TLS trust, proxies, addresses."""
