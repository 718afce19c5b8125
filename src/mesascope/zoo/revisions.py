"""The checkpoints of a model: in a run, in the zoo, in a directory with one folder per revision, or on the Hugging Face hub.

One checkpoint is in memory at a time. What the hub gives is kept in a temporary folder until it has been read, and never in the
user's cache of the hub; what is in that cache already is read there and stays.
"""

import contextlib
import dataclasses
import fnmatch
import functools
import itertools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mesascope.models.constructions import CONSTRUCTIONS
from mesascope.models.language import LanguageSubject
from mesascope.models.language.loading import WEIGHTS as WEIGHT_FILES
from mesascope.models.language.loading import check_installed, load_network, load_tokenizer
from mesascope.models.language.loading import check_weights as check_weight_files
from mesascope.records import checkpoint as checkpoints
from mesascope.records.codec import from_json
from mesascope.records.parsing import Damaged
from mesascope.records.shown import said, shown
from mesascope.records.tensors import each_tensor
from mesascope.training import LanguageSpec, TrainingSpec
from mesascope.training.run import on_grid
from mesascope.zoo.fetching import from_hub, hub_revisions, hub_size, in_hub_cache, unknown_revision
from mesascope.zoo.integrity import Fingerprint, Integrity, examined, fingerprint
from mesascope.zoo.language import as_subject, load_language_model
from mesascope.zoo.shipped import WEIGHTS, checkpoints_of, place
from mesascope.zoo.unwrapping import plain_content

_STEP = re.compile(r"(?:^|[-_.])(?:step|checkpoint)[-_]?0*(\d+)(?!\d)", re.IGNORECASE)
"""The step in a revision's name: ``step1000``, ``checkpoint-500``, ``stage1-step1000-tokens5B``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Revision:
    """A checkpoint of a model.

    Attributes:
        step: the training step that its name says.
        name: its name.
        tensors: reads its tensors, one after another; raises `Damaged` if they cannot be read.
    """

    step: int
    name: str
    tensors: Callable[[], Iterator[tuple[str, Tensor]]]


def integrity(reference: str, *, expected: Sequence[int] = (), budget: int | None = None) -> Integrity:
    """Hash every checkpoint of a model, and say what is wrong with them; see `mesascope.zoo.integrity.examined`.

    Args:
        reference: as for `revisions`.
        expected: steps at which there should be a checkpoint; by default those at which a run keeps them.
        budget: bytes of disk that a download may take.

    Raises:
        ValueError: as for `revisions`.
    """
    found = revisions(reference, budget=budget)
    return examined([_fingerprint(each) for each in found], expected or _kept(reference))


def _kept(reference: str) -> list[int]:
    """The steps of which a run keeps checkpoints, up to the last that is there; none where there is no specification."""
    where = None if reference.startswith("hf:") else place(reference, tuple(CONSTRUCTIONS))
    folder = None if where is None else where / "checkpoints"
    if folder is None or not (steps := checkpoints.steps(folder)):
        return []
    try:
        held = checkpoints.read_meta(checkpoints.stem(folder, steps[-1]))["spec"]
        kind = LanguageSpec if held.get("type") == LanguageSpec.__name__ else TrainingSpec
        spec = from_json(kind, held, "spec")
    except (Damaged, ValueError):  # named where it is read; with a task of somebody's own, the schedule is not known
        return []
    return [step for step in range(1, steps[-1] + 1) if on_grid(step, spec)]


def revisions(reference: str, *, budget: int | None = None) -> tuple[Revision, ...]:
    """The checkpoints of a model, in the order of their steps.

    Args:
        reference: a name in the zoo that ships with checkpoints, a run's directory, ``hf:`` with a directory that has a folder
            per revision, or with a repository of the hub; of the latter two, ``@`` and patterns choose some: ``@step*``,
            ``@step1,step8``.
        budget: bytes of disk that the download of one may take; half of what is free by default.

    Raises:
        ValueError: nothing has this reference, it has no checkpoints, two of them are of one step, or the hub cannot be reached.
    """
    if reference.startswith("hf:"):
        name, _, pattern = reference.removeprefix("hf:").partition("@")
        found = _of_directory(Path(name)) if Path(name).is_dir() else _of_hub(name, budget)
        return _chosen(reference, found, pattern or "*")
    where = place(reference, tuple(CONSTRUCTIONS))
    if where is None:
        raise ValueError(
            f"model must have checkpoints: a name in the zoo, a run's directory, or hf:NAME_OR_DIR; got {shown(reference)}."
        )
    if where.parent == WEIGHTS:
        found = [(step, where.with_name(f"{where.name}-step-{step}")) for step in checkpoints_of(where.name)]
        last = [(checkpoints.read_meta(where)["step"], where)]
    else:
        folder = where / "checkpoints" if (where / "checkpoints").is_dir() else where
        found = [(step, checkpoints.stem(folder, step)) for step in checkpoints.steps(folder)]
        last = []
    if not found and where.is_dir():
        return _chosen(reference, _of_directory(where), "*")
    stems = [*found, *(each for each in last if found)]
    return _chosen(
        reference, [Revision(step=s, name=p.name, tensors=functools.partial(_own, p)) for s, p in stems], "*"
    )


def load_revisions(reference: str, *, device: str = "cpu", budget: int | None = None) -> LanguageSubject:
    """The last checkpoint of a language model, with the others as its history; those that are faulty are left out by name.

    Args:
        reference: ``hf:NAME_OR_DIR@PATTERN``.
        device: where it computes.
        budget: as for `revisions`.

    Raises:
        ValueError: as for `revisions`, or every checkpoint is faulty.
    """
    check_installed()
    found = {each.step: each for each in revisions(reference, budget=budget)}
    checked = integrity(reference, budget=budget)
    if not checked.usable:
        raise ValueError(
            f"model {shown(reference)} must have a checkpoint without a fault; {next(iter(checked.excluded.values()))}. "
            "See `mesascope checkpoints`."
        )
    repository = reference.removeprefix("hf:").partition("@")[0]
    loaders = {step: functools.partial(_load, repository, found[step].name, device, budget) for step in checked.usable}
    last = max(loaders)
    subject = loaders[last]()
    told = {"step": last, "excluded": {str(step): why for step, why in checked.excluded.items()}}
    return dataclasses.replace(subject, name=reference, spec={**subject.spec, **told}, checkpoints=loaders)


def _load(repository: str, revision: str, device: str, budget: int | None) -> LanguageSubject:
    name = f"hf:{repository}@{revision}"
    if Path(repository).is_dir() or in_hub_cache(repository, revision):
        return load_language_model(name, device=device)
    with _downloaded(repository, revision, budget) as directory:
        network = load_network(directory, name, device=device)
        return as_subject(
            network, load_tokenizer(directory, name), name, origin={"hub": repository, "revision": revision}
        )


def _fingerprint(revision: Revision) -> Fingerprint:
    try:
        return fingerprint(revision.step, revision.name, revision.tensors())
    except Damaged as error:
        return Fingerprint(step=revision.step, name=revision.name, unreadable=str(error))


def _chosen(reference: str, found: Sequence[Revision], pattern: str) -> tuple[Revision, ...]:
    names = [each.name for each in found]
    for part in pattern.split(","):
        if found and not fnmatch.filter(names, part):
            raise ValueError(unknown_revision(f"model {shown(reference)}", part, names))
    wanted = {name for part in pattern.split(",") for name in fnmatch.filter(names, part)}
    chosen = sorted((each for each in found if each.name in wanted), key=lambda each: each.step)
    if not chosen:
        raise ValueError(
            f"model {shown(reference)} must have checkpoints whose names say their step, such as step1000; it has none."
        )
    for before, after in itertools.pairwise(chosen):
        if before.step == after.step:
            raise ValueError(
                f"checkpoints must be of different steps; {shown(before.name)} and {shown(after.name)} are both of step "
                f"{after.step}. Choose with a pattern, as in hf:NAME@step*."
            )
    return tuple(chosen)


def _own(stem: Path) -> Iterator[tuple[str, Tensor]]:
    yield from ((k, v) for k, v in checkpoints.read(stem).tensors.items() if k.startswith("model."))


def _of_directory(directory: Path) -> list[Revision]:
    inside = [path for path in sorted(directory.iterdir()) if path.is_dir() and _STEP.search(path.name)]
    return [
        Revision(step=_step(path.name), name=path.name, tensors=functools.partial(_weights, path)) for path in inside
    ]


def _of_hub(repository: str, budget: int | None) -> list[Revision]:
    def tensors(revision: str) -> Iterator[tuple[str, Tensor]]:
        if in_hub_cache(repository, revision):
            yield from _weights(from_hub(repository, revision)[0])
            return
        with _downloaded(repository, revision, budget) as directory:
            yield from _weights(directory)

    named = [name for name in hub_revisions(repository) if _STEP.search(name)]
    return [Revision(step=_step(name), name=name, tensors=functools.partial(tensors, name)) for name in named]


def _step(name: str) -> int:
    match = _STEP.search(name)
    assert match is not None, "only names that say a step are asked"
    return int(match[1])


def _weights(directory: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a directory of Hugging Face's layout; a ``.bin`` is read weights-only.

    Raises:
        Damaged: there are none, or they cannot be read.
    """
    try:
        check_weight_files(directory, directory.name)
    except ValueError as error:
        raise Damaged(str(error)) from error
    if any((directory / name).is_file() for name in WEIGHT_FILES[:2]):
        for path in sorted(directory.glob("*.safetensors")):
            yield from each_tensor(path)
        return
    for path in sorted(directory.glob("pytorch_model*.bin")):
        try:
            held = plain_content(path)
        except ValueError as error:
            raise Damaged(said(error)) from error
        yield from sorted(held.items())


@contextlib.contextmanager
def _downloaded(repository: str, revision: str, budget: int | None) -> Iterator[Path]:
    """A revision's files in a temporary folder, for as long as the context lasts.

    Raises:
        ValueError: they take more of the disk than the budget, or as for `from_hub`.
    """
    free = shutil.disk_usage(tempfile.gettempdir()).free
    limit = free // 2 if budget is None else min(budget, free)
    if (size := hub_size(repository, revision)) > limit:
        raise ValueError(
            f"model {shown(f'hf:{repository}@{revision}')} needs {size / 2**30:.2g} GiB of disk, and it may take "
            f"{limit / 2**30:.2g}. Free some space in {shown(tempfile.gettempdir())}, or set TMPDIR to a larger disk."
        )
    with tempfile.TemporaryDirectory(prefix="mesascope-") as folder:
        yield from_hub(repository, revision, into=Path(folder))[0]


__all__ = ("Revision", "integrity", "load_revisions", "revisions")
