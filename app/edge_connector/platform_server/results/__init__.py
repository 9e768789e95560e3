"""Large results that connectors bring over HTTP instead of the session."""
