"""Calibration: judges planted subjects with known answers, to measure how reliable the verdict is."""

from mesascope.calibration.calibrate import calibrate

__all__ = ("calibrate",)
