"""One-step methods, and the protocol of the systems that they integrate.

Nothing here imports the solving around it: step control, events, files and results.
"""

from .registry import METHODS, Maker, known_methods, make_integrator, register_method

__all__ = ["METHODS", "Maker", "known_methods", "make_integrator", "register_method"]
