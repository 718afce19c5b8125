"""Calibration: judges planted subjects with known answers, to measure how reliable the verdict is."""

from mesascope.calibration.calibrating import calibrate

__all__ = ("calibrate",)
