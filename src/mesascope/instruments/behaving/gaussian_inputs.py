"""How much worse a network answers on Gaussian inputs than on the inputs of its training, as one ratio."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mesascope.algorithms import Ridge, run
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.behaving import memorisation
from mesascope.instruments.behaving.stress import NAME, RIDGE
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, ratio, squared_error
from mesascope.tasks import Gaussian
from mesascope.types import Measurement, PrescribableTask, Subject, adjusted

FACTOR = Quantity(name="MSE on Gaussian inputs over that on its own", combine=ratio)


def on_gaussian_inputs(
    subject: Subject, task: PrescribableTask, *, seed: int = 0, n: int = 512, queries: int = 8
) -> tuple[Measurement, ...]:
    """The mean squared error on Gaussian inputs over that on the task's own; resampling draws the prompts in pairs.

    Controls. Positive: a look-up of the nearest shown input, which fails on Gaussian inputs. Negative: ridge (λ = 0.01),
    which does not.

    Args:
        subject: what to examine.
        task: what it was trained on.
        seed: of the prompts and the resampling.
        n: number of prompts of each kind.
        queries: queries per prompt.
    """
    own = adjusted(task, queries=queries)
    pair = [each.sample(n, seed=seed, stream="input-distributions") for each in (own, adjusted(own, inputs=Gaussian()))]

    def sums(predicted: Sequence[Tensor]) -> Tensor:
        at_home, away = (squared_error(p, prompts) for p, prompts in zip(predicted, pair, strict=True))
        return torch.stack([away, at_home], -1)

    found = measure(
        NAME,
        FACTOR,
        sums([answers(subject, prompts) for prompts in pair]),
        bootstrap.weights(n, seed=seed),
        coordinates={},
        positive={memorisation.LOOK_UP: sums([memorisation.looked_up(prompts) for prompts in pair])},
        negative={"ridge": sums([run(Ridge(ridge=RIDGE), prompts).predictions[1] for prompts in pair])},
    )
    return (found,)


INSTRUMENT = Instrument(
    name="stress, Gaussian inputs",
    question="How much worse does it answer on Gaussian inputs than on those of its training?",
    measure=on_gaussian_inputs,
    needs="a task of linear regression whose inputs are not Gaussian",
    quantities=(FACTOR.name,),
    coordinates=(),
    sizes=sizes(n=(32, 512, 2048)),
)

__all__ = ("FACTOR", "INSTRUMENT", "on_gaussian_inputs")
