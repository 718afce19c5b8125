"""Planted subjects with known answers: how far the verdict can be trusted."""

from mesascope.calibration.calibrate import calibrate

__all__ = ("calibrate",)
