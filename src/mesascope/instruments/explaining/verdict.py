"""The verdict with its description: which algorithm, and what is computed in any case."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mesascope.instruments.explaining.describe import describe
from mesascope.instruments.explaining.following import path_sentence
from mesascope.instruments.explaining.pictures import figures
from mesascope.instruments.identification import PROMPTS, Family, Readouts, identify
from mesascope.instruments.identification.prompts import Distribution
from mesascope.types import Subject, Task, Verdict


def identify_and_describe(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    algorithms: Sequence[str | Family] | None = None,
    prompts: int = PROMPTS,
    readout: Readouts = "auto",
    distribution: Distribution | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Name the algorithm that a subject's forward pass follows, or say that the evidence does not; and describe what it computes.

    The description is there whatever the label: a network that none of the candidates describes may still be one filter of the
    eigenvalues to within a per cent. Its sentence ends with whether a candidate takes the subject's path. See
    `mesascope.instruments.identification.identify` for the label, and `mesascope.instruments.explaining.shares` for the rules
    of the description.

    Args:
        subject: any object that satisfies the subject protocol.
        task: its training distribution.
        seed: of the prompts, the resampling and the untrained control.
        algorithms: names of candidates or of regressors, or candidates themselves (`as_candidate`); all candidates by default.
        prompts: prompts in each half. The description takes two thirds of them, and asks each several times.
        readout: ``own``, ``fitted``, or ``auto``: its own where that is sensible at every layer.
        distribution: prompts to decide on in place of the standard discriminating ones, such as a design's.
        progress: is told what comes next.

    Raises:
        ValueError: as for `identify`.
    """
    verdict = identify(
        subject,
        task,
        seed=seed,
        algorithms=algorithms,
        prompts=prompts,
        readout=readout,
        distribution=distribution,
        progress=progress,
    )
    progress("describing what it computes")
    described = describe(
        subject, task, seed=seed, prompts=-(-2 * prompts // 3), readout=readout, distribution=distribution
    )
    told = " ".join(filter(None, (described.sentence, path_sentence(verdict))))
    return replace(
        verdict,
        description=replace(described, sentence=told),
        figures=(*figures(described), *verdict.figures),
    )


__all__ = ("identify_and_describe",)
