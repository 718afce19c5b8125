"""The controlled experiments: networks, statistics over them, records in their place, and what is read of weights."""

import math
from pathlib import Path

import pytest
import torch
from scipy import stats

from mesascope.instruments import NotApplicable
from mesascope.instruments.behaving.invariance import _other_function
from mesascope.instruments.reading.scales import scales
from mesascope.instruments.spectral.alignment import alignment, importance
from mesascope.models import Transformer, TransformerConfig
from mesascope.models.architecture import count_parameters
from mesascope.models.subject import TransformerSubject
from mesascope.studies import STUDIES, bench, recorded, run_study
from mesascope.studies.averaging import SEEN, detectable, over_networks
from mesascope.studies.controlled import ablation, networks
from mesascope.studies.controlled.comparing import growth, relative
from mesascope.studies.controlled.networks import BASELINE, BY_BAND, DEPTH, FULL, RANDOM
from mesascope.studies.rules import where
from mesascope.tasks import BalancedRegression, Eigenvalues, Gaussian, LinearRegression
from mesascope.testing import check_task
from mesascope.training.alike import grouped
from mesascope.types import Control, Measurement

INPUTS = Gaussian(covariance=Eigenvalues(values=networks.BANDS))


def test_the_networks_have_the_printed_numbers_of_parameters() -> None:
    sizes = {cell.variant: count_parameters(cell.spec.model) for cell in networks.guided_architecture()}
    assert (sizes[BASELINE], sizes[FULL]) == (8801, 9989)
    assert sizes[FULL] - sizes[DEPTH] == 24 + 4, "a sink token and four scales"


def test_experiments_are_as_large_as_the_source_s_and_train_together() -> None:
    made = (
        networks.controlled_ablation(), networks.guided_architecture(), networks.spectral_heads(),
        networks.training_dynamics(), networks.diversity(),
    )  # fmt: skip
    assert [len(cells) for cells in made] == [6 * 3 * 6, 3 * 10, 4 * 10, 10, 7 * 2 * 5 + 3 * 10]
    for cells in made:
        runs = {Path(cell.name): cell.published for cell in cells}
        assert len(runs) == len(cells)
        assert sum(len(group) for group in grouped(runs)) == len(cells)
        assert max(len(group) for group in grouped(runs)) >= 10


def test_random_masks_are_partitions_without_a_band() -> None:
    masks = [cell.spec.model.head_dims for cell in networks.spectral_heads() if cell.variant == RANDOM]
    assert len(set(masks)) == len(masks)
    for mask in masks:
        assert mask is not None
        assert sorted(sum(mask, ())) == list(range(8))
        assert not set(mask) & set(BY_BAND)


def measured(values: dict[tuple[str, int], float], **more: int) -> list[Measurement]:
    return [
        Measurement(
            instrument="error", quantity="MSE", value=value, interval=None, n=1024,
            coordinates={"variant": variant, "group": "all", "seed": seed, **more},
            controls=(Control(kind="positive", name="p", value=0.0, interval=None),),
        )
        for (variant, seed), value in values.items()
    ]  # fmt: skip


def test_means_and_paired_differences_are_student_s() -> None:
    a, b = [1.2, 1.5, 1.1, 1.4], [1.0, 1.2, 1.0, 1.1]
    found = measured({("b", i): v for i, v in enumerate(b)} | {("a", i): v for i, v in enumerate(a)})
    (mean,) = over_networks(where("MSE", variant="a")).among(found)
    low, high = stats.t.interval(0.95, 3, loc=1.3, scale=stats.sem(a))
    assert (mean.value, *mean.interval) == pytest.approx((1.3, low, high))  # type: ignore[misc]
    assert mean.controls[0].name == "p"
    base = sum(b) / 4
    shares = [(x - y) / base for x, y in zip(a, b, strict=True)]
    (one,) = relative(where("MSE"), "a", "b").among(found)
    (many,) = relative(where("MSE"), "a", "b", comparisons=5).among(found)
    for m, level in ((one, 0.95), (many, 0.99)):
        expected = stats.t.interval(level, 3, loc=sum(shares) / 4, scale=stats.sem(shares))
        assert m.interval == pytest.approx(expected)
    assert one.value == pytest.approx(sum(shares) / 4)
    assert {c.kind for c in one.controls} == {"positive", "negative"}
    assert next(c.value for c in one.controls if c.name == SEEN) == pytest.approx(detectable(shares))
    assert not relative(where("MSE"), "a", "c").among(found)


def test_an_effect_that_is_said_to_be_seen_is_seen_four_times_in_five() -> None:
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 10, generator=rng, dtype=torch.float64)
    unit = detectable((torch.arange(10.0) - 4.5).div(torch.arange(10.0).std()).tolist())  # of scatter one
    rejected = stats.ttest_1samp((noise + unit).numpy(), 0.0, axis=1).pvalue < 0.05
    assert rejected.mean() == pytest.approx(0.8, abs=0.03)
    assert math.isnan(detectable([1.0]))


def test_growth_from_layer_to_layer() -> None:
    found = [m for layer in range(3) for m in measured({("a", s): layer**2 + 0.1 * s for s in range(4)}, layer=layer)]
    first, second = growth("MSE", "a").among(found)
    assert (first.value, second.value) == pytest.approx((1.0, 3.0))
    assert (first.coordinates["layer"], second.coordinates["layer"]) == (1, 2)


def subject(**config: object) -> TransformerSubject:
    return TransformerSubject(name="one", model=Transformer(TransformerConfig(dim=8, examples=16, width=32, **config)))


def test_alignment_is_one_for_a_preconditioner_and_reads_no_hidden_dimension() -> None:
    task = LinearRegression(dim=8, examples=16, inputs=INPUTS)
    planted = subject(layers=1, heads=1)
    inverse = 1 / torch.tensor(networks.BANDS)
    with torch.no_grad():
        planted.model.embed.weight.zero_()
        planted.model.embed.weight[:8, :8] = torch.eye(8)
        planted.model.blocks[0].attention.qkv.weight.zero_()
        planted.model.blocks[0].attention.qkv.weight[:8, :8] = torch.eye(8)
        planted.model.blocks[0].attention.qkv.weight[32:40, :8] = torch.diag(inverse)
    assert importance(planted.model).tolist() == pytest.approx(inverse.tolist())
    (m,) = alignment(planted, task)
    assert m.value == pytest.approx(1.0)
    assert [c.kind for c in m.controls] == ["positive", "negative"]
    assert abs(m.controls[1].value) < 0.9
    masked = subject(layers=1, heads=4, head_dims=((0, 1),) * 4)
    assert importance(masked.model)[2:].abs().max() == 0
    with pytest.raises(NotApplicable):
        alignment(planted, LinearRegression(dim=8, examples=16))


def test_scales_are_read_where_there_are_any() -> None:
    scaled = subject(layer_scale=True)
    with torch.no_grad():
        scaled.model.get_parameter("blocks.1.scale").fill_(0.5)
    assert [(m.coordinates["layer"], m.value) for m in scales(scaled, LinearRegression())] == [(0, 1.0), (1, 0.5)]
    with pytest.raises(NotApplicable):
        scales(subject(), LinearRegression())


def test_in_the_balanced_task_every_direction_counts_alike() -> None:
    task = BalancedRegression(dim=8, examples=4, weights="standard", inputs=INPUTS, variances=networks.BANDS)
    check_task(task)
    prompts = task.sample(20_000, seed=0)
    assert prompts.weights is not None
    shares = (prompts.weights * prompts.queries[:, 0]).var(0)
    assert torch.allclose(shares, torch.ones(8, dtype=shares.dtype), atol=0.1)
    other = _other_function(task, prompts, torch.Generator().manual_seed(0)).ys - prompts.ys
    assert float(other.var()) == pytest.approx(2 * 8, rel=0.1), "other functions are of the same prior"
    for wrong in ((1.0,) * 7, (0.0,) * 8):
        with pytest.raises(ValueError, match="one positive, finite number for each"):
            BalancedRegression(dim=8, variances=wrong)


def test_a_record_stands_in_for_networks(tmp_path: Path) -> None:
    study = STUDIES["spectral-heads"]
    result = run_study("spectral-heads", tmp_path / "out")
    assert result.profile == "laptop"
    assert {o.judgement for o in result.outcomes} <= {"reproduced", "not reproduced", "not decidable"}
    assert "reproduced" in {o.judgement for o in result.outcomes}
    assert len(result.measurements) > len(study.measures)
    specs = result.provenance["networks"]
    assert specs["spectral-heads-baseline-seed-0"]["steps"] == 3000  # type: ignore[index]


def test_another_seed_is_not_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "BRIEF", 1)
    result = run_study("training-dynamics", tmp_path / "out", seed=1)
    assert result.profile == "smoke"
    assert any("of seed 0" in note for note in result.notes)


def test_records_hold_what_their_studies_ask() -> None:
    names = {str(path.relative_to(recorded.RECORDS).with_suffix("")) for path in recorded.RECORDS.rglob("*.json")}
    assert {name.partition("/")[0] for name in names} <= set(STUDIES)
    for name in names:
        held = recorded.read(name)
        assert held.study == name.partition("/")[0]
        assert not str(held.provenance.get("commit", "")).endswith("+")
        networks = [m.network for m in STUDIES[held.study].measures if not isinstance(m.network, str)]
        asked = {network.name for network in networks if network.record == name}
        assert asked and len(held.measured) >= len(asked)


def test_the_ablation_judges_as_many_differences_as_it_accounts_for() -> None:
    assert len(ablation.CONTRASTS) * len(ablation.DIMS) == ablation.COMPARISONS
