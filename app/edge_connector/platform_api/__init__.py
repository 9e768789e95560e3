"""Every HTTP operation of the platform, declared once, and a typed client for them. Nothing here serves requests."""
