"""Starting the connector with the person's session, and proof that it would start; it starts and stops nothing now."""
