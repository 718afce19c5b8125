"""What every test shares.

Shapes and types are checked throughout: pyproject.toml loads mesascope through jaxtyping's import hook with beartype.
"""

import os
import shutil
import signal
from collections.abc import Iterator

import hypothesis
import jaxtyping
import pytest
import torch

# Tests run in several processes: one thread each, also in the programs that they start, or they take turns on the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

# A shell has what it starts in the background ignore Ctrl-C, and so would all that the tests start and send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Slow machines are no reason to fail, and a red run in CI must be red again on a desk: there, examples are fixed.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Turns the checker of shapes and types off: what a caller outside this suite gets is our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium that can run headless. Without one the test skips, except in CI, where it fails."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        path = shutil.which(name)
        if path is not None:
            return path
    reason = "no Chromium found: install the Debian package chromium to look at the page in a real browser"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
