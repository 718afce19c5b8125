"""On another device all is the same: no operation meets tensors of two devices, and the numbers are those of the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest

SAME = Path(__file__).with_name("same.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        "refused",
        "networks",
        "algorithms",
        "regressors",
        "instruments",
        "language",
        "identification",
        "training",
    ],
)
def test_another_device_gives_the_same(part: str) -> None:
    done = subprocess.run(
        [sys.executable, SAME, part], capture_output=True, text=True, timeout=600, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr[-3000:]
