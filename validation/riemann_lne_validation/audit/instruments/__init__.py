"""Computations that checks measure with, apart from the core so that they can check it."""
