"""`train` from one seed and from several, and `convert`."""

from pathlib import Path

import torch

import mesascope as ms


def test_train_resume_and_identify_the_run(command, spec):
    asked = ("train", spec(), "--out", "run")
    assert command(*asked)[0] == 0
    status, _, err = command(*asked)
    assert (status, "--resume" in err) == (2, True)
    assert command(*asked, "--resume")[0] == 0
    assert command("identify", "run", "--profile", "smoke", "--algorithms", "gd,cg", "--json")[0] == 0


def test_several_seeds_go_side_by_side(command, spec):
    status, out, _ = command("train", spec(), "--seeds", "3,5", "--out", "runs")
    assert (status, out.split()) == (0, ["runs/seed-3", "runs/seed-5"])
    task = ms.tasks.LinearRegression(dim=2, examples=4)
    first, second = (ms.load(f"runs/seed-{seed}").trace(task.sample(2, seed=0)).predictions for seed in (3, 5))
    assert not first.equal(second)


def test_seeds_train_together(command, spec, refused):
    status, out, _ = command("train", spec(), "--seeds", "3,5", "--together", "--out", "runs")
    assert (status, out.split()) == (0, ["runs/seed-3", "runs/seed-5"])
    assert command("train", "spec.json", "--seeds", "3,5", "--together", "--resume", "--out", "runs")[0] == 0
    command("train", "spec.json", "--seeds", "5", "--out", "alone")
    task = ms.tasks.LinearRegression(dim=2, examples=4)
    member, alone = (ms.load(run).trace(task.sample(2, seed=0)).predictions for run in ("runs/seed-5", "alone"))
    assert member.allclose(alone, atol=1e-5)
    assert "--together needs several seeds" in refused("train", "spec.json", "--together")
    given = ("--seeds", "1,2", "--together", "--out", "new")
    assert "needs curriculum=None" in refused("train", spec(curriculum={"start": 1}), *given)
    assert "a language model" in refused("train", "ladder-small", *given)
    assert not Path("new").exists()


def weights_of_theirs(layers: int = 3, width: int = 64, dim: int = 5, points: int = 8) -> dict[str, torch.Tensor]:
    """A state dict as Garg et al.'s code saves it."""
    inner = 4 * width
    block = {"ln_1": (width,), "ln_2": (width,), "attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    block |= {"mlp.c_fc": (width, inner), "mlp.c_proj": (inner, width)}
    parts = {"_read_in": (width, dim), "_read_out": (1, width), "_backbone.ln_f": (width,)}
    parts |= {f"_backbone.h.{i}.{name}": shape for i in range(layers) for name, shape in block.items()}
    bias = {name: shape[:1] if name.startswith("_read") else shape[-1:] for name, shape in parts.items()}
    shapes = {f"{name}.weight": shape for name, shape in parts.items()} | {
        f"{n}.bias": shape for n, shape in bias.items()
    }
    return {name: torch.zeros(shape) for name, shape in {"_backbone.wpe.weight": (2 * points, width), **shapes}.items()}


def test_convert_prints_what_it_took_from_where_and_warns_of_what_it_assumed(command, caplog, refused):
    torch.save({"state_dict": {f"model.{k}": v for k, v in weights_of_theirs().items()}}, "weights.pt")
    status, out, _ = command("convert", "weights.pt", "--out", "runs/theirs")
    assert (status, out.splitlines()) == (
        0,
        [
            "  taken from 'state_dict'",
            "  model. taken off the names",
            "  heads: 2, from the paper's model of this size",
            "  examples: 7, from its positions",
            "  task: linear regression with w ~ N(0, I), from the paper",
            "runs/theirs",
        ],
    )
    assert "heads are not in the weights" in caplog.text
    assert "does not say how many examples" in caplog.text
    torch.save(weights_of_theirs(layers=2), "small.pt")
    words = refused("convert", "small.pt", "--out", "runs/small")
    assert "heads cannot be read off the weights" in words
    assert "--like" in words
