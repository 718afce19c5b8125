"""All instruments, in the order in which they are best read. Each has a file of its own and a line here."""

from collections.abc import Mapping

from mesascope.instruments import metrics
from mesascope.instruments.attending import (
    attention,
    attention_content,
    causal_mask,
    copying,
    mixing,
    number_attention,
    sinks,
)
from mesascope.instruments.behaving import (
    errors,
    examples,
    gaussian_inputs,
    invariance,
    kernel_sweep,
    matching,
    memorisation,
    rounding,
    signature,
    silent_failure,
    size,
    solver_errors,
    stress,
    training_curve,
    training_loss,
)
from mesascope.instruments.explaining import instrument as explaining
from mesascope.instruments.explaining import over_training
from mesascope.instruments.identification import following, power
from mesascope.instruments.instrument import Instrument
from mesascope.instruments.intervening import (
    ablation,
    causal,
    head_ablation,
    influence,
    number_mlp,
    number_patching,
    patching,
    substitution,
    truncation,
)
from mesascope.instruments.metrics import layer_by_step
from mesascope.instruments.reading import (
    curvature,
    induction,
    logit_difference,
    plain_probes,
    probes,
    readout,
    refinement,
    scales,
    streaming,
)
from mesascope.instruments.regressing import along, beside
from mesascope.instruments.spectral import alignment, contraction, directions, krylov, spectrum

EXAMINED: tuple[Instrument, ...] = (
    explaining.INSTRUMENT,
    spectrum.INSTRUMENT,
    readout.INSTRUMENT,
    refinement.INSTRUMENT,
    probes.INSTRUMENT,
    patching.INSTRUMENT,
    causal.INSTRUMENT,
    ablation.INSTRUMENT,
    attention.INSTRUMENT,
    sinks.INSTRUMENT,
    stress.INSTRUMENT,
    silent_failure.INSTRUMENT,
    metrics.INSTRUMENT,
    over_training.INSTRUMENT,
)
"""The instruments that an examination runs after identification. Identification also measures the invariances."""

INSTRUMENTS: tuple[Instrument, ...] = (
    invariance.INSTRUMENT,
    *EXAMINED,
    errors.INSTRUMENT,
    examples.INSTRUMENT,
    curvature.INSTRUMENT,
    matching.INSTRUMENT,
    directions.INSTRUMENT,
    krylov.INSTRUMENT,
    substitution.INSTRUMENT,
    attention_content.INSTRUMENT,
    copying.INSTRUMENT,
    mixing.INSTRUMENT,
    influence.INSTRUMENT,
    streaming.INSTRUMENT,
    memorisation.INSTRUMENT,
)
"""Every instrument that measures one subject on one task. An examination leaves out those with a narrower question."""

NARROWER: tuple[Instrument, ...] = (
    matching.TRACKING,
    plain_probes.INSTRUMENT,
    solver_errors.INSTRUMENT,
    signature.INSTRUMENT,
    size.INSTRUMENT,
    training_curve.INSTRUMENT,
    gaussian_inputs.INSTRUMENT,
    training_loss.INSTRUMENT,
    contraction.INSTRUMENT,
    causal_mask.INSTRUMENT,
    rounding.INSTRUMENT,
    following.INSTRUMENT,
    layer_by_step.INSTRUMENT,
    power.INSTRUMENT,
    kernel_sweep.INSTRUMENT,
    head_ablation.INSTRUMENT,
    induction.INSTRUMENT,
    truncation.INSTRUMENT,
    scales.INSTRUMENT,
    alignment.INSTRUMENT,
    beside.INSTRUMENT,
    along.INSTRUMENT,
    logit_difference.INSTRUMENT,
    number_patching.INSTRUMENT,
    number_attention.INSTRUMENT,
    number_mlp.INSTRUMENT,
)
"""Instruments that need more than a subject and a task (several noise levels, other subjects, a training) or a language model.

Studies run them.
"""

BY_NAME: Mapping[str, Instrument] = {instrument.name: instrument for instrument in (*INSTRUMENTS, *NARROWER)}
"""All instruments by name. Measurements carry that name as their ``instrument``, except those of some narrower instruments."""
