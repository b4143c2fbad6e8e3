"""Quantisers and their gradient estimators, layers that use them, and optimisers of such layers."""
