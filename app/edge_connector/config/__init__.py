"""The settings of one installation: what they are, where each value came from, and the directory they live in."""
