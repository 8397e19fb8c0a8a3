"""Looking at a computation while it runs or afterwards: hooks around the single dispatch point."""

from .anomaly import AnomalyError, detect_anomaly
from .graph import graph_dot, graph_text
from .memory import MemoryTracker, track_memory
from .origin import Origin, record_origins
from .timing import Timer, Timing, timer

__all__ = [
    "AnomalyError",
    "MemoryTracker",
    "Origin",
    "Timer",
    "Timing",
    "detect_anomaly",
    "graph_dot",
    "graph_text",
    "record_origins",
    "timer",
    "track_memory",
]
