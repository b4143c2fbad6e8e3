"""Estimators of quantised training side by side: only the backward pass differs."""

from .contracts import Dataset, Metric, Network, Task
from .registered import register_dataset, register_network, register_task

__all__ = [
    "Dataset",
    "Metric",
    "Network",
    "Task",
    "register_dataset",
    "register_network",
    "register_task",
]
