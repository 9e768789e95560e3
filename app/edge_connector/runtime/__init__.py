"""The connector itself: the place where link, tools, health and control meet."""
