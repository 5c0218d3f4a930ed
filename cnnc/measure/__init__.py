"""How fast compiled models are: whole calls (bench), call by call (profile), against what the
machine can do at most (peak).
"""

from __future__ import annotations

from cnnc.measure.bench import Case, Latency, bench
from cnnc.measure.peak import Ceilings, Peak
from cnnc.measure.profile import Lap, Profile, profile

__all__ = ["Case", "Ceilings", "Lap", "Latency", "Peak", "Profile", "bench", "profile"]
