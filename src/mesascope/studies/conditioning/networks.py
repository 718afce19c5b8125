"""The networks that were trained on conditioning: source A's model and task, and what fits a laptop."""

from dataclasses import dataclass
from typing import Literal, final

from mesascope.models import TransformerConfig
from mesascope.studies.networks import Trained
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.training import TrainingSpec

Design = Literal["mixed", "isotropic", "rotated"]
CONDITIONS = (1.0, 10.0, 50.0, 100.0, 500.0)
"""The condition numbers that the mixed and the rotated networks are trained on, in turn."""
LAYERS, DIM, EXAMPLES = 12, 10, 20
SCALED_LAYERS, SCALED_DIM, SCALED_EXAMPLES = 24, 20, 40
"""The source's scaled setting: twice of everything."""
NOISE = 0.1
"""Standard deviation of the labels' noise. The queries' targets have none."""
RIDGE = 0.1
"""The source's λ: every solver works on XᵀX + λI, or on XXᵀ + λI."""


def at(
    condition: float | tuple[float, ...],
    *,
    rotate: bool = False,
    queries: int = 8,
    dim: int = DIM,
    examples: int = EXAMPLES,
) -> LinearRegression:
    """The source's task at one condition number, or at several in turn.

    The smallest eigenvalue of the inputs is 1 and the largest is κ, so that inputs grow with κ. Without ``rotate`` the largest
    belongs to the first coordinate, and so on down.

    Args:
        condition: κ, at least 1.
        rotate: rotate every prompt's inputs at random.
        queries: queries per prompt.
        dim: dimension of the inputs.
        examples: pairs shown.

    Raises:
        ValueError: a condition number below 1, or none.
    """
    inputs = Gaussian(covariance=Diagonal(condition=condition, scale="smallest", rotate=rotate))
    return LinearRegression(dim=dim, examples=examples, queries=queries, noise=NOISE, weights="standard", inputs=inputs)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioned(Trained):
    """A network of twelve layers, or of 24, that was trained on prompts of one design.

    Attributes:
        design: ``isotropic`` (κ = 1); ``mixed`` (κ = 1 to 500 in turn, eigenvectors along the axes, in a fixed order); or
            ``rotated`` (the same, every prompt rotated at random, which source A does not have).
        seed: of weights and data; 42 is source A's.
        scaled: whether it is the source's scaled setting: 24 layers, twenty dimensions, 40 examples.
    """

    design: Design = "mixed"
    seed: int = 42
    scaled: bool = False

    @property
    def published(self) -> TrainingSpec:
        """Source A's recipe: 9,486,337 parameters (with twelve layers), AdamW, 1,000 steps of warm-up, then a cosine.

        Departs from source: one κ per prompt, in turn, where the source draws one per batch.
        """
        return TrainingSpec(
            name=self._name(""),
            task=self._trained_on(queries=1),
            model=self._model(width=256, final_norm=True, mask="full"),
            steps=30_000 if self.scaled else 50_000,
            batch=32 if self.scaled else 64,
            optimiser="adamw",
            learning_rate=3e-4,
            weight_decay=0.01,
            betas=(0.9, 0.98),
            clip=1.0,
            schedule="cosine",
            warmup=1_000 / 30_000 if self.scaled else 0.02,
            checkpoint_every=5000,
            seed=self.seed,
        )

    @property
    def laptop(self) -> TrainingSpec:
        """As many layers, a quarter of the width, Muon, eight queries per prompt that do not see one another.

        Isotropic inputs are learnt in half as many steps. The scaled setting has as few, of half as many prompts, because they
        take four times as long.
        """
        return TrainingSpec(
            name=self._name("laptop"),
            task=self._trained_on(queries=8),
            model=self._model(width=64, final_norm=False, mask="prefix"),
            steps=8_000 if self.scaled or self.design == "isotropic" else 16_000,
            batch=32 if self.scaled else 64,
            optimiser="muon",
            learning_rate=3e-3,
            clip=1.0,
            warmup=0.05,
            seed=self.seed,
        )

    def _name(self, last: str) -> str:
        design = "" if self.scaled and self.design == "mixed" else self.design
        seed = f"seed-{self.seed}" if self.seed != 42 else ""
        return "-".join(filter(None, ("conditioning", "scaled" if self.scaled else "", design, seed, last)))

    def _trained_on(self, queries: int) -> LinearRegression:
        condition, rotate = 1.0 if self.design == "isotropic" else CONDITIONS, self.design == "rotated"
        if self.scaled:
            return at(condition, rotate=rotate, queries=queries, dim=SCALED_DIM, examples=SCALED_EXAMPLES)
        return at(condition, rotate=rotate, queries=queries)

    def _model(self, width: int, *, final_norm: bool, mask: Literal["prefix", "full"]) -> TransformerConfig:
        return TransformerConfig(
            dim=SCALED_DIM if self.scaled else DIM,
            examples=SCALED_EXAMPLES if self.scaled else EXAMPLES,
            layers=SCALED_LAYERS if self.scaled else LAYERS,
            width=width,
            heads=4,
            feedforward=4 * width,
            activation="relu",
            final_norm=final_norm,
            tokens="pairs",
            mask=mask,
        )


MIXED, MIXED_100 = Conditioned(), Conditioned(seed=100)
ISOTROPIC, ISOTROPIC_100 = Conditioned(design="isotropic"), Conditioned(design="isotropic", seed=100)
ROTATED = Conditioned(design="rotated")
NETWORKS = (MIXED, MIXED_100, ISOTROPIC, ISOTROPIC_100, ROTATED)
SCALED = Conditioned(scaled=True)
"""The scaled setting, which has a study of its own score alone: its dimension is another."""
