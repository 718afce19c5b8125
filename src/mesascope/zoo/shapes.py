"""Weights against the shapes that their specification gives."""

from collections.abc import Mapping

from torch import Tensor, nn

from mesascope.records.shown import plain, shown


def check_shapes(model: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Check that weights are those of a model, without loading them.

    Args:
        model: the model that the specification describes; it may be without memory (on the device ``meta``).
        weights: by parameter.
        name: the model's name in messages.

    Raises:
        ValueError: a weight is missing, of another shape, or not the model's.
    """
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items() if value.is_floating_point()}
    if wrong := sorted(key for key in expected.keys() | given.keys() if expected.get(key) != given.get(key)):
        key = wrong[0]
        raise ValueError(
            f"model {shown(name)} must hold the weights of its own specification; {plain(key)} is {given.get(key, 'missing')} "
            f"there and {expected.get(key, 'nothing')} in the specification. Train or convert it again."
        )
