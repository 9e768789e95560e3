"""The one outbound WebSocket to the platform: dialling, the session, and coming back."""
