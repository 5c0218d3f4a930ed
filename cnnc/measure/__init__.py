"""How fast compiled models are: whole (bench) and call by call (profile), against a peak.

Uses the compiler from outside: nothing that compiles or runs a model needs this room.
"""

from __future__ import annotations

from cnnc.measure.bench import Case, Latency, bench
from cnnc.measure.peak import Ceilings, Peak
from cnnc.measure.profile import Lap, Profile, profile

__all__ = ["Case", "Ceilings", "Lap", "Latency", "Peak", "Profile", "bench", "profile"]
