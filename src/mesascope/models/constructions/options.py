"""Checks of the numerical options of constructions."""

import math


def check_step_size(value: float) -> None:
    """Check a step size.

    Raises:
        ValueError: not a finite number above 0.
    """
    if not 0 < value < math.inf:
        raise ValueError(
            f"step_size must be a finite number above 0; got {value}. Pass less than 2 over the largest eigenvalue "
            "of the system matrix (XᵀX/n for plain gradient descent)."
        )


def check_momentum(value: float) -> None:
    """Check a momentum.

    Raises:
        ValueError: not from 0 to below 1.
    """
    if not 0 <= value < 1:
        raise ValueError(
            f"momentum must be at least 0 and below 1; got {value}. With momentum 1 or more, no step size converges."
        )


def check_condition(value: float) -> None:
    """Check a condition number.

    Raises:
        ValueError: below 1 or not finite.
    """
    if not 1 <= value < math.inf:
        raise ValueError(
            f"condition must be finite and at least 1; got {value}. It is the largest over the smallest eigenvalue: "
            "pass, for example, 10.0."
        )


def check_positive(name: str, value: float) -> None:
    """Check a scale, such as a temperature.

    Raises:
        ValueError: not a finite number above 0.
    """
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0; got {value}. Pass 1.0 for inputs of unit scale.")
