"""All instruments, in the order in which they are best read. An instrument is a file of its own and a line here."""

from collections.abc import Mapping

from mesascope.instruments import metrics
from mesascope.instruments.attending import attention, attention_content, copying, mixing
from mesascope.instruments.behaving import (
    errors,
    examples,
    gaussian_inputs,
    invariance,
    matching,
    memorisation,
    size,
    stress,
    training_curve,
)
from mesascope.instruments.explaining import instrument as explaining
from mesascope.instruments.instrument import Instrument
from mesascope.instruments.intervening import ablation, causal, influence, patching, substitution
from mesascope.instruments.reading import probes, readout, streaming
from mesascope.instruments.spectral import directions, krylov, spectrum

EXAMINED: tuple[Instrument, ...] = (
    explaining.INSTRUMENT,
    spectrum.INSTRUMENT,
    readout.INSTRUMENT,
    probes.INSTRUMENT,
    patching.INSTRUMENT,
    causal.INSTRUMENT,
    ablation.INSTRUMENT,
    attention.INSTRUMENT,
    stress.INSTRUMENT,
    metrics.INSTRUMENT,
)
"""What an examination runs, after identification, which measures the invariances too."""

INSTRUMENTS: tuple[Instrument, ...] = (
    invariance.INSTRUMENT,
    *EXAMINED,
    errors.INSTRUMENT,
    examples.INSTRUMENT,
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
"""Every instrument that measures one subject on one task. Those that no examination runs answer a narrower question."""

NARROWER: tuple[Instrument, ...] = (
    matching.TRACKING,
    size.INSTRUMENT,
    training_curve.INSTRUMENT,
    gaussian_inputs.INSTRUMENT,
)
"""Those that ask for more than a subject and a task: several noises, other subjects, a training. Studies run them."""

BY_NAME: Mapping[str, Instrument] = {instrument.name: instrument for instrument in (*INSTRUMENTS, *NARROWER)}
"""All of them by name, which is what their measurements bear, but for a narrower one's."""
