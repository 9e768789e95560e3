"""The status window: one module a page, all fed from one status source; nothing in it blocks the loop."""
