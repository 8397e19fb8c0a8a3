"""The stamp of a measurement; see `minigrad.workbench.environment`."""

from minigrad.workbench.environment import commit, environment, processor

__all__ = ["commit", "environment", "processor"]
