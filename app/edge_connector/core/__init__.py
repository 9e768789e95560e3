"""Ground floor: errors, tasks, services, status, files. It knows nothing of the network, the platform or the tools."""
