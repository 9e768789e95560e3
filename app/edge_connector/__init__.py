"""The Edge Connector: runs tools next to what only this machine can reach."""

__version__ = "0.1.0"
