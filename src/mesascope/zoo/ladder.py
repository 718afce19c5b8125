"""Language models that were trained here, from the checkpoints of their runs."""

from collections.abc import Callable, Mapping

from mesascope.models.language import LanguageSubject
from mesascope.models.language.characters import PAIRS, tokenizer
from mesascope.models.language.families import family_named
from mesascope.models.language.loading import check_installed, finished
from mesascope.models.language.pythia import pythia
from mesascope.models.language.writing import writing
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.codec import from_json, to_json
from mesascope.tasks import DigitRegression
from mesascope.training import LanguageSpec
from mesascope.types import Subject
from mesascope.zoo.shapes import check_shapes


def trained_here(
    found: Checkpoint, name: str, *, device: str = "cpu", checkpoints: Mapping[int, Callable[[], Subject]]
) -> LanguageSubject:
    """The model of a checkpoint, which is asked about new queries of the maps that its corpus has.

    Args:
        found: the checkpoint.
        name: its name in messages and reports.
        device: where it computes.
        checkpoints: by training step, what loads the model as it was there.

    Raises:
        ValueError: the weights are not those of the specification, or not finite.
    """
    check_installed()
    spec = from_json(LanguageSpec, found.spec, "spec", ours=True)
    model = pythia(spec.model)
    check_shapes(model, found.weights, name)
    model.load_state_dict(found.weights)
    task = DigitRegression(examples=spec.corpus.pairs - 1, steepest=spec.corpus.steepest)
    return LanguageSubject(
        name=name,
        network=finished(model.to(device), family_named("gpt_neox"), name),
        writing=writing(PAIRS, tokenizer()),
        spec={**found.spec, "task": to_json(task), "step": found.step, "extra": found.extra},
        checkpoints=checkpoints,
    )
