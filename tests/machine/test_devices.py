"""Devices and threads that a machine does not have."""

import pytest
import torch

from mesascope.machine.devices import check_device, set_threads


@pytest.mark.parametrize("device", ["nonsense", "hpu", "meta", "cuda:99", "cpu:x", "vulkan", "privateuseone", ""])
def test_a_device_that_cannot_compute(device: str) -> None:
    with pytest.raises(
        ValueError, match=rf"--device must be a device that this machine has; got '{device}' \(.*Pass 'cpu'\."
    ):
        check_device(device, "--device")
    check_device("cpu")


@pytest.mark.parametrize("threads", [0, -1, 20_000])
def test_a_number_of_threads_that_no_machine_has(threads: int) -> None:
    before = torch.get_num_threads()
    with pytest.raises(
        ValueError, match=rf"--threads must be at least 1 and at most \d+; got {threads}\. This machine has \d"
    ):
        set_threads(threads, "--threads")
    set_threads(before)
    assert torch.get_num_threads() == before
