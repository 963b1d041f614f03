"""Makes threads of PyTorch that wait for others sleep, in this process and in those that it starts.

By default they keep a core busy for some time. With several test processes on few cores, most of the time would be
lost. OpenMP reads the variable when torch is imported, so this module is imported first.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
