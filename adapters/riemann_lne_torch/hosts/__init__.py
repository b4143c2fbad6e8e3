"""Callbacks and logging for the frameworks that run a training loop."""
