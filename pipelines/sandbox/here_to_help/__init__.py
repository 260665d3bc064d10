"""A stand-in for the Here to Help API: takes help requests and case notes, on this machine only.

Here: what the real one is known to do, its faults and its races included, and every way in which it, or the way to it,
may fail, on demand. Not here: what is sent to it.
"""

from pipelines.sandbox.here_to_help.behaviour import Behaviour, Call, Cut, Throttle
from pipelines.sandbox.here_to_help.server import HereToHelp, Received, give_way, running, serve
from pipelines.sandbox.here_to_help.store import Counts

__all__ = [
    "Behaviour",
    "Call",
    "Counts",
    "Cut",
    "HereToHelp",
    "Received",
    "Throttle",
    "give_way",
    "running",
    "serve",
]
