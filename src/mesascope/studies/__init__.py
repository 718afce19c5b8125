"""Published results, put to the test: one file a study."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mesascope.records.codec import nearest
from mesascope.records.directories import claim
from mesascope.records.journal import discard
from mesascope.records.provenance import provenance
from mesascope.records.shown import shown
from mesascope.studies import (
    covariance_stress,
    depth_loss,
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
    synthetic_panel,
    two_layer_patching,
    two_layer_probes,
    which_algorithm_by_depth,
    width_control,
)
from mesascope.studies.session import PROFILES, NotShipped, Profile, Session
from mesascope.studies.study import Between, Claim, Found, Study, judge, labelled, pick, published
from mesascope.types import StudyResult

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
            supervision.STUDY,
            synthetic_panel.STUDY,
        )
    }
)
"""Every study, by name, in the order in which they are best read."""


def run_study(
    name: str,
    out: Path | str,
    *,
    profile: Profile = "laptop",
    seed: int = 0,
    networks: Path | str | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> StudyResult:
    """Run a study; what is done of it is kept in ``out``, so that one that was cut off goes on there.

    Args:
        name: see `STUDIES`.
        out: a directory: new, empty, or made by mesascope before.
        profile: ``smoke`` (seconds; decides nothing), ``laptop`` (networks that ship, a minute or two), or ``full``
            (trains networks by the published recipe first: hours each).
        seed: of prompts and resampling.
        networks: where ``full`` trains its networks and looks for those that another study trained, or another machine;
            by default below ``out``.
        device: where networks train and compute.
        progress: show a progress bar on stderr.

    Returns:
        The judged claims and all that was measured. A study whose networks do not ship is run at ``smoke`` in place of
        ``laptop``, and says so.

    Raises:
        ValueError: an unknown study or profile, or a directory that is not ours.
    """
    if name not in STUDIES:
        raise ValueError(f"study must be one of {', '.join(STUDIES)}; got {shown(name)}.{nearest(name, list(STUDIES))}")
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}; got {shown(profile)}.")
    study, began, notes = STUDIES[name], time.perf_counter(), ()

    def run(profile: Profile) -> tuple[Session, Found]:
        where = None if networks is None else Path(networks)
        session = Session(name, profile, seed, Path(out), networks=where, device=device, progress=progress)
        try:
            return session, study.run(session)
        finally:
            session.close()

    with claim(out, "a study"):
        try:
            session, found = run(profile)
        except NotShipped as missing:
            discard(Path(out))  # parts of a run that cannot be finished
            session, found = run("smoke")
            notes = (f"Run at profile smoke, which decides nothing: {missing}. Train it, or use profile full.",)
    return StudyResult(
        study=name,
        title=study.title,
        source=study.source,
        profile=session.profile,
        outcomes=tuple(judge(claim, study.source, found, session) for claim in study.claims),
        notes=(*notes, *found.notes, *study.departures),
        measurements=found.measurements,
        figures=found.figures,
        provenance=provenance(
            command=f"study run {name}",
            profile=session.profile,
            seed=seed,
            networks=session.used(),
            seconds={"total": round(time.perf_counter() - began, 1)},
        ),
    )


__all__ = (
    "PROFILES",
    "STUDIES",
    "Between",
    "Claim",
    "Found",
    "Profile",
    "Session",
    "Study",
    "labelled",
    "pick",
    "published",
    "run_study",
)
