"""What the platform keeps on disk: an interface, and its SQLite implementation. It decides nothing."""
