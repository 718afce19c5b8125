"""Published results and our own, put to the test: one file per study."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from mesascope.instruments.instrument import PROFILES, Profile
from mesascope.plans import Engine, Plan, execute
from mesascope.records.checks import nearest
from mesascope.records.directories import claim
from mesascope.records.journal import Journal, discard
from mesascope.records.provenance import provenance
from mesascope.records.shown import shown
from mesascope.studies.bench import Bench, NotShipped
from mesascope.studies.conditioning import (
    error_by_conditioning,
    iterate_probes,
    out_of_distribution_signature,
    silent_failure,
    six_algorithms,
    spectral_response,
)
from mesascope.studies.constructions import causal_mask, rounding, synthetic_panel
from mesascope.studies.controlled import ablation, diversity, dynamics, guided, spectral
from mesascope.studies.generalised import likelihood
from mesascope.studies.language_models import (
    confounds,
    depth_contraction,
    emergence,
    forecast,
    gradient_readout,
    head_ablation,
    life_cycle,
    logit_difference,
    number_attention,
    number_mlp,
    pretrained_signatures,
    rate_prediction,
    regressors,
    sink_emergence,
    sink_panel,
    truncation,
)
from mesascope.studies.measure import works
from mesascope.studies.networks import Trained
from mesascope.studies.recorded import NotRecorded
from mesascope.studies.rules import Between, labelled, pick
from mesascope.studies.study import Claim, Study, judge, published, with_derived
from mesascope.studies.trained_regressors import (
    covariance_stress,
    depth_loss,
    depth_over_networks,
    examples_per_dimension,
    first_layer_copying,
    input_distributions,
    long_training,
    primal_to_dual,
    probe_size,
    ridge_match,
    second_attention,
    second_mlp,
    supervision,
    two_layer_patching,
    two_layer_probes,
    which_algorithm_by_depth,
    width_control,
)
from mesascope.types import Measurement, StudyResult

STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        study.name: study
        for study in (
            depth_loss.STUDY,
            ridge_match.STUDY,
            two_layer_probes.STUDY,
            two_layer_patching.STUDY,
            first_layer_copying.STUDY,
            second_attention.STUDY,
            second_mlp.STUDY,
            covariance_stress.STUDY,
            input_distributions.STUDY,
            primal_to_dual.STUDY,
            probe_size.STUDY,
            width_control.STUDY,
            long_training.STUDY,
            examples_per_dimension.STUDY,
            which_algorithm_by_depth.STUDY,
            depth_over_networks.STUDY,
            supervision.STUDY,
            synthetic_panel.STUDY,
            causal_mask.STUDY,
            rounding.STUDY,
            iterate_probes.STUDY,
            error_by_conditioning.STUDY,
            out_of_distribution_signature.STUDY,
            six_algorithms.STUDY,
            spectral_response.STUDY,
            silent_failure.STUDY,
            likelihood.STUDY,
            gradient_readout.STUDY,
            rate_prediction.STUDY,
            emergence.STUDY,
            sink_emergence.STUDY,
            life_cycle.STUDY,
            forecast.STUDY,
            depth_contraction.STUDY,
            truncation.STUDY,
            confounds.STUDY,
            head_ablation.STUDY,
            sink_panel.STUDY,
            pretrained_signatures.STUDY,
            regressors.STUDY,
            logit_difference.STUDY,
            number_attention.STUDY,
            number_mlp.STUDY,
            spectral.STUDY,
            dynamics.STUDY,
            guided.STUDY,
            ablation.STUDY,
            diversity.STUDY,
        )
    }
)
"""Every study, by name, in the order in which they are best read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a study computes.

    Attributes:
        networks: where ``full`` trains its networks and looks for those that another study trained, or another machine;
            by default below the study's own directory.
        device: where networks train and compute.
        engine: where its measures run, as `mesascope.plans` has them; in this process by default.
    """

    networks: Path | str | None = None
    device: str = "cpu"
    engine: Engine | None = None


def run_study(
    name: str,
    out: Path | str,
    *,
    profile: Profile = "laptop",
    seed: int = 0,
    model: str | None = None,
    place: Place | None = None,
    progress: bool = False,
) -> StudyResult:
    """Run a study; what is done of it is kept in ``out``, so that one that was cut off goes on there.

    Args:
        name: see `STUDIES`.
        out: a directory: new, empty, or made by mesascope before.
        profile: ``smoke`` (seconds; decides nothing), ``laptop`` (networks that ship, a minute or two), or ``full``
            (trains networks by the published recipe first: hours each).
        seed: of prompts and resampling.
        model: ask about this model, by its reference, instead of the study's own; some studies can.
        place: where it computes; by default in this process, on the CPU.
        progress: show a progress bar on stderr.

    Returns:
        The judged claims and all that was measured. A study whose networks do not ship is run at ``smoke`` in place of
        ``laptop``, and says so.

    Raises:
        ValueError: an unknown study or profile, a model where the study is about its own, or a directory that is not ours.
    """
    if name not in STUDIES:
        raise ValueError(f"study must be one of {', '.join(STUDIES)}; got {shown(name)}.{nearest(name, list(STUDIES))}")
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}; got {shown(profile)}.")
    study, began, notes = _about(STUDIES[name], model), time.perf_counter(), ()
    folder, place = Path(out), place or Place()
    networks = folder / "networks" if place.networks is None else Path(place.networks)
    bench = Bench(profile=profile, seed=seed, directory=folder, networks=networks, device=place.device, named=model)
    with claim(out, "a study"):
        try:
            measured, used, skipped = _run(study, bench, place.engine, progress)
        except (NotShipped, NotRecorded) as missing:
            discard(folder)  # parts of a run that cannot be finished
            bench = replace(bench, profile="smoke")
            measured, used, skipped = _run(study, bench, place.engine, progress)
            notes = (f"Run at profile smoke, which decides nothing: {missing}. Train it, or use profile full.",)
    if absent := _absent(study, bench):
        names = dict.fromkeys(name.partition("@")[0] for name in absent)
        notes = (*notes, f"Not available here, and left out: {', '.join(names)}.")
    if skipped:
        notes = (*notes, f"Not measured: {'; '.join(skipped)}.")
    if faulty := _faulty(study, bench):
        notes = (*notes, f"Checkpoints that are not what their names say, and left out: {'; '.join(faulty)}.")
    return StudyResult(
        study=name,
        title=study.title,
        source=study.source,
        profile=bench.profile,
        outcomes=tuple(judge(claim, study.source, measured, bench) for claim in study.claims),
        notes=(*notes, *study.notes(measured, bench), *study.departures),
        measurements=measured,
        figures=study.figures(measured, bench),
        provenance=provenance(
            bench.device,
            command=f"study run {name}{'' if model is None else f' --model {model}'}",
            profile=bench.profile,
            seed=seed,
            networks=used,
            seconds={"total": round(time.perf_counter() - began, 1)},
        ),
    )


def _about(study: Study, model: str | None) -> Study:
    """The study, about a model if one is named."""
    if model is None:
        return study
    if study.of is None:
        able = ", ".join(name for name, each in STUDIES.items() if each.of is not None)
        raise ValueError(
            f"model must be left out for the study {study.name}, which is about its own; got {shown(model)}. Studies of any "
            f"model: {able}."
        )
    return study.of(model)


def _absent(study: Study, bench: Bench) -> list[str]:
    """The language models that this profile measures and that cannot be had."""
    wanted = [m.network for m in study.measures if m.at_smoke or bench.profile != "smoke"]
    models = [*dict.fromkeys(network for network in wanted if isinstance(network, str))]
    able = bench.shipped(models)
    return [model for model in models if model not in able]


def _faulty(study: Study, bench: Bench) -> list[str]:
    """What is wrong with checkpoints of the networks that this profile measures over training, in words."""
    wanted = [m.network for m in study.measures if m.over_training and (m.at_smoke or bench.profile != "smoke")]
    able = bench.shipped(list(dict.fromkeys(wanted)))
    return [
        f"{network if isinstance(network, str) else network.name}, {why}"
        for network in able
        for why in bench.excluded(network).values()
    ]


def _run(
    study: Study, bench: Bench, engine: Engine | None, progress: bool
) -> tuple[tuple[Measurement, ...], dict[str, object], list[str]]:
    """What a study measures and derives, the networks that it measures, and what could not be measured, with the reasons."""
    wanted = [m for m in study.measures if m.at_smoke or bench.profile != "smoke"]
    asked = [m.network for m in wanted]
    trained = [network for network in asked if isinstance(network, Trained)]
    able = asked if trained and not bench.shipped(trained) else bench.shipped(asked)  # none: `Bench.network` says so
    chosen = [m for m in wanted if m.network in able]
    named = {m.network if isinstance(m.network, str) else m.network.ships_as: m.network for m in chosen}
    bench.prepare(list(named.values()), progress=progress)
    used = {name: bench.spec(network) for name, network in named.items()}
    plan = Plan(
        words=f"study {study.name}{f' of {bench.named}' if bench.named else ''}, profile {bench.profile}, seed {bench.seed}",
        works=tuple(work for m in chosen for work in works(m, bench)),
    )
    done = execute(plan, Journal(bench.directory), engine=engine, progress=progress)
    skipped = [f"{name} ({each.skipped.rstrip('.')})" for name, each in done.items() if each.skipped]
    return with_derived(study.claims, [m for each in done.values() for m in each.measurements]), used, skipped


__all__ = (
    "PROFILES",
    "STUDIES",
    "Between",
    "Claim",
    "Place",
    "Profile",
    "Study",
    "labelled",
    "pick",
    "published",
    "run_study",
)
