"""Faults of checkpoints: each is planted, and named; what is as it should be is not accused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor

import mesascope as ms
from mesascope.cli import main
from mesascope.models.language import LanguageSubject
from mesascope.records.parsing import Damaged
from mesascope.records.tensors import each_tensor
from mesascope.types import history
from mesascope.zoo import revisions as room
from mesascope.zoo.integrity import Fingerprint, Integrity, examined, fingerprint
from mesascope.zoo.revisions import integrity, revisions

STEPS = (1, 4, 16, 64, 256, 1024, 4096)
Weights = dict[str, Tensor]
Edit = Callable[[dict[int, Weights]], object]


def path_of_training() -> dict[int, Weights]:
    """Three tensors that move from a beginning to an end, with noise; one that never changes, one that is all ones."""
    rng = torch.Generator().manual_seed(0)
    start, end = ({k: torch.randn(6, 8, generator=rng) for k in "abc"} for _ in range(2))
    return {
        step: {
            **{
                k: start[k] + (i / (len(STEPS) - 1)) * (end[k] - start[k]) + 0.01 * torch.randn(6, 8, generator=rng)
                for k in "abc"
            },
            "frozen": start["a"],
            "norm": torch.ones(8),
        }
        for i, step in enumerate(STEPS)
    }


def judged(held: dict[int, Weights], expected: tuple[int, ...] = ()) -> Integrity:
    return examined([fingerprint(step, f"step{step}", w.items()) for step, w in held.items()], expected)


def test_what_is_as_it_should_be_is_not_accused() -> None:
    found = judged(path_of_training(), STEPS)
    assert found.usable == STEPS and not found.excluded and not found.missing
    assert len({each.sha256 for each in found.checkpoints}) == len(STEPS)


def test_a_hash_is_of_type_shape_and_bytes() -> None:
    ones = torch.ones(2, 3)
    others = (ones.double(), ones.T.contiguous(), ones + 1e-7, ones.bfloat16())
    hashes = {fingerprint(0, "", [("w", t)]).whole for t in (ones, *others)}
    assert len(hashes) == 5
    assert fingerprint(0, "", [("w", ones.clone())]).whole == fingerprint(9, "x", [("w", ones)]).whole
    assert fingerprint(0, "", [("v", ones)]).whole not in hashes


def late_under_an_early_name(held: dict[int, Weights]) -> None:
    held[16] = {k: v + (0.001 if k in "abc" else 0) for k, v in held[1024].items()}


def early_under_the_last_name(held: dict[int, Weights]) -> None:
    held[4096] = {k: v + (0.001 if k in "abc" else 0) for k, v in held[4].items()}


PLANTED: dict[str, tuple[Edit, dict[int, str]]] = {
    "all the same": (
        lambda held: held.update({step: held[4096] for step in STEPS}),
        {step: "the same weights as step" for step in STEPS},
    ),
    "two neighbours the same": (
        lambda held: held.update({64: held[256]}),
        {64: "the same weights as step 256", 256: "the same weights as step 64"},
    ),
    "the last one under an early name": (lambda held: held.update({4: held[4096]}), {4: "weights as step 4096"}),
    "the first one under the last name": (lambda held: held.update({4096: held[1]}), {4096: "weights as step 1"}),
    "late weights under an early name": (late_under_an_early_name, {16: "out of order"}),
    "early weights under the last name": (early_under_the_last_name, {4096: "out of order"}),
    "a late shard in an early one": (
        lambda held: held[4].update(a=held[1024]["a"]),
        {4: "1 of 5 tensors are those of step 1024, 'a' among them: a swapped shard"},
    ),
    "a shard of a neighbour": (
        lambda held: held[64].update(a=held[256]["a"], b=held[256]["b"]),
        {64: "2 of 5 tensors are those of step 256", 256: "2 of 5 tensors are those of step 64"},
    ),
    "not a number": (lambda held: held[64].update(b=torch.full((6, 8), torch.nan)), {64: "not finite: 'b'"}),
    "another shape": (lambda held: held[64].update(b=torch.ones(3, 8)), {64: "has another shape of 'b'"}),
    "a tensor too few": (lambda held: held[64].pop("b"), {64: "lacks 'b'"}),
    "a tensor too many": (lambda held: held[64].update(d=torch.ones(2)), {64: "has 'd', which most others do not"}),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named_and_nothing_else(fault: str) -> None:
    edit, expected = PLANTED[fault]
    edit(held := path_of_training())
    found = judged(held)
    assert set(found.excluded) == set(expected)
    for step, words in expected.items():
        assert words in found.excluded[step]
    assert found.usable == tuple(step for step in STEPS if step not in expected)


def test_missing_steps_and_those_that_cannot_be_read() -> None:
    held = path_of_training()
    del held[64]
    prints = [fingerprint(step, f"step{step}", w.items()) for step, w in held.items() if step != 256]
    found = examined([*prints, Fingerprint(step=256, name="step256", unreadable="no file")], STEPS)
    assert found.missing == (64,)
    assert found.excluded == {256: "step256: cannot be read: no file"}


# ------------------------------------------------------------------------------- where checkpoints come from


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random language model on the way from some weights to others, a folder per step."""
    where = tmp_path_factory.mktemp("revisions") / "model"
    config = transformers.GPTNeoXConfig(
        vocab_size=256, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=400, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = tokenizers.Tokenizer(BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, end = (transformers.AutoModelForCausalLM.from_config(config) for _ in range(2))
    for step in (0, 1, 10, 100, 1000, 10000):
        with torch.no_grad():
            for parameter, other in zip(model.parameters(), end.parameters(), strict=True):
                parameter.add_(0.3 * (other - parameter) + 0.001)
        model.save_pretrained(where / f"step{step}")
        transformers.PreTrainedTokenizerFast(tokenizer_object=core).save_pretrained(where / f"step{step}")
    return where


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "model"))


def test_a_directory_with_a_folder_per_revision_is_a_model_with_a_history(saved: Path) -> None:
    steps = [0, 1, 10, 100, 1000, 10000]
    assert [each.step for each in revisions(str(saved))] == [each.step for each in revisions(f"hf:{saved}")] == steps
    assert [each.step for each in revisions(f"hf:{saved}@step10*")] == [10, 100, 1000, 10000]
    assert [each.step for each in revisions(f"hf:{saved}@step1,step1000*")] == [1, 1000, 10000]
    shutil.rmtree(saved / "step10")
    shutil.copytree(saved / "step10000", saved / "step10")
    subject = ms.load(f"hf:{saved}@step*")
    assert isinstance(subject, LanguageSubject)
    assert list(history(subject)) == [0, 1, 100, 1000, 10000]
    assert subject.spec["excluded"] == {"10": "step10: the same weights as step 10000"}
    prompts = ms.tasks.DigitRegression().sample(2, seed=0)
    early = ms.load(f"hf:{saved}@step1").trace(prompts).predictions
    assert torch.equal(history(subject)[1]().trace(prompts).predictions, early)
    assert not torch.equal(subject.trace(prompts).predictions, early)


def test_weights_that_are_damaged_in_one_revision_leave_the_others(saved: Path) -> None:
    path = saved / "step100" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    (saved / "step1" / "model.safetensors").rename(saved / "step1" / "weights.pkl")
    weights = load_file(saved / "step1000" / "model.safetensors")
    (saved / "step1000" / "model.safetensors").unlink()
    torch.save(weights, saved / "step1000" / "pytorch_model.bin")
    (saved / "step10" / "model.safetensors").unlink()
    (saved / "step10" / "pytorch_model.bin").write_bytes(b"junk")
    found = integrity(str(saved))
    assert set(found.excluded) == {1, 10, 100}
    assert "not a readable safetensors file" in found.excluded[100]
    assert "a pickle, which can hold code" in found.excluded[1]
    assert "as torch.save writes it" in found.excluded[10]


def test_a_model_without_a_sound_checkpoint_is_refused(saved: Path) -> None:
    for step in (1, 10, 100, 1000, 10000):
        shutil.copy(saved / "step0" / "model.safetensors", saved / f"step{step}" / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"must have a checkpoint without a fault; step0: the same weights as step 1, 10"
    ):
        ms.load(f"hf:{saved}@step*")


def test_what_has_no_checkpoints_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no revision 'stage\*'; it has 'step0'"):
        revisions(f"hf:{saved}@stage*")
    with pytest.raises(ValueError, match=r"has no revision 'step11'; it has .* Did you mean 'step1'"):
        revisions(f"hf:{saved}@step1,step11")
    for reference in ("construction:gradient-descent", "smollm2"):
        with pytest.raises(ValueError, match=r"must have checkpoints: a name in the zoo"):
            integrity(reference)
    (tmp_path / "none").mkdir()
    for reference in ("four-layer", f"hf:{tmp_path / 'none'}", str(tmp_path / "none")):
        with pytest.raises(ValueError, match=r"must have checkpoints whose names say their step, such as step1000"):
            revisions(reference)
    shutil.copytree(saved / "step10", saved / "stage2-step10")
    with pytest.raises(ValueError, match=r"of different steps; 'stage2-step10' and 'step10' are both of step 10"):
        revisions(str(saved))


@pytest.mark.parametrize("name", ["two-layer", "query-only-3-layers-laptop", "ladder-small", "ladder-small-shuffled"])
def test_what_ships_is_sound(name: str) -> None:
    found = integrity(name)
    assert len(found.usable) == len(found.checkpoints) > 3
    assert found.usable == tuple(history(ms.load(name)))


class Hub:
    """A hub whose revisions are a directory's folders; it remembers what it was asked for, and where it put it."""

    def __init__(self, where: Path) -> None:
        self.where, self.given, self.size = where, list[Path](), 1000

    def list_repo_refs(self, repository: str) -> Any:
        names = [SimpleNamespace(name=path.name) for path in self.where.iterdir()]
        return SimpleNamespace(branches=[SimpleNamespace(name="main")], tags=names)

    def model_info(self, repository: str, **_: Any) -> Any:
        files = [("model.safetensors", self.size), ("code.py", 10**12), ("config.json", None)]
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in files])

    def snapshot_download(self, repository: str, *, revision: str, local_dir: Path, **_: Any) -> str:
        assert not any(path.exists() for path in self.given), "one at a time"
        self.given.append(local_dir)
        shutil.copytree(self.where / revision, local_dir, dirs_exist_ok=True)
        return str(local_dir)


@pytest.fixture
def hub(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(saved)
    for name in ("list_repo_refs", "model_info", "snapshot_download"):
        monkeypatch.setattr(huggingface_hub, name, getattr(made, name))
    monkeypatch.setattr(room, "in_hub_cache", lambda *_: False)
    return made


def test_of_a_model_on_the_hub_one_revision_at_a_time_is_on_disk(hub: Hub) -> None:
    subject = ms.load("hf:someone/model@step*")
    assert list(history(subject)) == [0, 1, 10, 100, 1000, 10000]
    prompts = ms.tasks.DigitRegression().sample(2, seed=0)
    here = ms.load(f"hf:{hub.where}@step10").trace(prompts).predictions
    assert torch.equal(history(subject)[10]().trace(prompts).predictions, here)
    assert len(hub.given) == 8 and not any(path.exists() for path in hub.given)


def test_a_download_keeps_to_its_budget(hub: Hub) -> None:
    hub.size = 2**31
    with pytest.raises(
        ValueError, match=r"'hf:someone/model@step0' needs 2 GiB of disk, and it may take 1\. Free some"
    ):
        integrity("hf:someone/model@step*", budget=2**30)
    assert not hub.given
    assert len(integrity("hf:someone/model@step*", budget=2**32).usable) == 6


# ------------------------------------------------------------------------------------------- the command


def test_the_command_prints_a_row_for_each_checkpoint(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = load_file(saved / "step1" / "model.safetensors")
    late = load_file(saved / "step1000" / "model.safetensors")
    name = next(key for key in weights if key.endswith("query_key_value.weight"))
    save_file({**weights, name: late[name]}, saved / "step1" / "model.safetensors", metadata={"format": "pt"})
    assert main(["checkpoints", f"hf:{saved}", "--steps", "0,1,10,20"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split()[0] == "0" and rows[0].endswith("  ok")
    assert "1 of" in rows[1] and "tensors are those of step 1000" in " ".join(rows[1:4])
    assert rows[-2:] == ["missing: 20", "5 of 6 can be measured"]
    assert max(map(len, rows)) <= 100
    assert main(["checkpoints", f"hf:{saved}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [bool(each["faults"]) for each in found["checkpoints"]] == [False, True, False, False, False, False]
    assert all(len(each["sha256"]) == 64 for each in found["checkpoints"])


def test_a_file_that_holds_no_tensors_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(Damaged, match="not a readable safetensors file"):
        list(each_tensor(tmp_path / "x.safetensors"))
