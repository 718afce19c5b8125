"""Whether heads weigh the dimensions of the input as a preconditioner would: by the inverse of their variances."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.models import Transformer
from mesascope.tasks import Eigenvalues
from mesascope.types import Control, Measurement, Subject, Task

NAME = "spectral alignment"
ALIGNMENT = "correlation of importance and inverse variance"
PERFECT, FRESH = "importance that is the inverse variance", "untrained network"


def alignment(subject: Subject, task: Task, *, seed: int = 0) -> tuple[Measurement, ...]:
    """Pearson's correlation, over the dimensions of the input, of their importance for attention with 1/λ.

    The importance of a dimension is (Σ over heads of ‖W_Qᵀ W_K e‖²)^½ in the first layer, with e the dimension's embedding. It is
    a number of the weights, without prompts. There are few dimensions, so one network's correlation says little.

    Controls. Positive: an importance that is 1/λ (exactly 1). Negative: the untrained network.

    Args:
        subject: a `mesascope.models.TransformerSubject`.
        task: its inputs have a covariance of given eigenvalues, without rotation.
        seed: of the untrained weights.

    Raises:
        NotApplicable: another subject, or another covariance.

    Source: source C, section 9.2.
    Departs from source: it does not define importance; this definition is ours.
    """
    covariance: Any = getattr(getattr(task, "inputs", None), "covariance", None)
    model = getattr(subject, "model", None)
    if not isinstance(model, Transformer) or not isinstance(covariance, Eigenvalues) or covariance.rotate:
        raise NotApplicable("it reads the weights of a transformer, on inputs of given eigenvalues without rotation")
    inverse = 1 / torch.tensor(covariance.values, dtype=torch.float64)
    controls = [Control(kind="positive", name=PERFECT, value=_correlation(inverse, inverse))]
    if (fresh := untrained(subject, seed)) is not None:
        controls.append(Control(kind="negative", name=FRESH, value=_correlation(importance(fresh.model), inverse)))  # type: ignore[attr-defined]
    value = _correlation(importance(model), inverse)
    return (
        Measurement(
            instrument=NAME,
            quantity=ALIGNMENT,
            value=value,
            interval=None,
            n=len(inverse),
            coordinates={},
            controls=tuple(controls),
        ),
    )


@torch.no_grad()
def importance(model: Transformer) -> Float[Tensor, " dim"]:
    """How much a head's scores in the first layer depend on each dimension of the tokens that it looks at."""
    config = model.config
    weights = model.get_parameter("blocks.0.attention.qkv.weight").double().view(3, config.heads, -1, config.width)
    keys = weights[1] @ model.embed.weight.double()[:, : config.dim]  # (head, width/head, dim)
    if config.head_dims is not None:
        keys = keys * model.get_buffer("head_mask").double()[:, None, : config.dim]
    return (weights[0].transpose(1, 2) @ keys).square().sum((0, 1)).sqrt()


def _correlation(a: Float[Tensor, " dim"], b: Float[Tensor, " dim"]) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


INSTRUMENT = Instrument(
    name=NAME,
    question="Do heads weigh the dimensions of the input by the inverse of their variances?",
    measure=alignment,
    needs="a transformer, and inputs of given eigenvalues",
    quantities=(ALIGNMENT,),
    coordinates=(),
    sizes=sizes(),
)

__all__ = ("ALIGNMENT", "INSTRUMENT", "NAME", "alignment", "importance")
