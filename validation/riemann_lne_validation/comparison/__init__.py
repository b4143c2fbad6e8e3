"""Estimators of quantised training side by side: only the backward pass differs."""
