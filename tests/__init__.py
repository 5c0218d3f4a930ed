"""Tests of cnnc. As many processes as processors run them: NumPy's own threads would only wait."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
