"""The icon in the panel: one port, its implementations on Qt and on pystray, and the choice between them."""
