"""The desktop front end: tray, status window and what they show. The only room that knows Qt, pystray and Pillow."""
