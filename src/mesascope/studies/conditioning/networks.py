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
NOISE = 0.1
"""Standard deviation of the labels' noise. The queries' targets have none."""
RIDGE = 0.1
"""The source's λ: every solver works on XᵀX + λI, or on XXᵀ + λI."""


def at(condition: float | tuple[float, ...], *, rotate: bool = False, queries: int = 8) -> LinearRegression:
    """The source's task at one condition number, or at several in turn.

    The smallest eigenvalue of the inputs is 1 and the largest is κ, so that inputs grow with κ. Without ``rotate`` the largest
    belongs to the first coordinate, and so on down.

    Args:
        condition: κ, at least 1.
        rotate: rotate every prompt's inputs at random.
        queries: queries per prompt.

    Raises:
        ValueError: a condition number below 1, or none.
    """
    inputs = Gaussian(covariance=Diagonal(condition=condition, scale="smallest", rotate=rotate))
    return LinearRegression(dim=DIM, examples=EXAMPLES, queries=queries, noise=NOISE, weights="standard", inputs=inputs)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioned(Trained):
    """A network of twelve layers that was trained on prompts of one design.

    Attributes:
        design: ``isotropic`` (κ = 1); ``mixed`` (κ = 1 to 500 in turn, eigenvectors along the axes, in a fixed order); or
            ``rotated`` (the same, every prompt rotated at random, which source A does not have).
        seed: of weights and data; 42 is source A's.
    """

    design: Design = "mixed"
    seed: int = 42

    @property
    def published(self) -> TrainingSpec:
        """Source A's recipe: 9,486,337 parameters, AdamW, 1,000 steps of warm-up, then a cosine.

        Departs from source: one κ per prompt, in turn, where the source draws one per batch.
        """
        return TrainingSpec(
            name=self._name(""),
            task=self._trained_on(queries=1),
            model=_model(width=256, final_norm=True, mask="full"),
            steps=50_000,
            batch=64,
            optimiser="adamw",
            learning_rate=3e-4,
            weight_decay=0.01,
            betas=(0.9, 0.98),
            clip=1.0,
            schedule="cosine",
            warmup=0.02,
            checkpoint_every=5000,
            seed=self.seed,
        )

    @property
    def laptop(self) -> TrainingSpec:
        """As many layers, a quarter of the width, Muon, 16,000 steps, eight queries per prompt that do not see one another."""
        return TrainingSpec(
            name=self._name("laptop"),
            task=self._trained_on(queries=8),
            model=_model(width=64, final_norm=False, mask="prefix"),
            steps=16_000,
            batch=64,
            optimiser="muon",
            learning_rate=3e-3,
            clip=1.0,
            warmup=0.05,
            seed=self.seed,
        )

    def _name(self, last: str) -> str:
        seed = f"seed-{self.seed}" if self.seed != 42 else ""
        return "-".join(filter(None, ("conditioning", self.design, seed, last)))

    def _trained_on(self, queries: int) -> LinearRegression:
        condition = 1.0 if self.design == "isotropic" else CONDITIONS
        return at(condition, rotate=self.design == "rotated", queries=queries)


def _model(width: int, *, final_norm: bool, mask: Literal["prefix", "full"]) -> TransformerConfig:
    return TransformerConfig(
        dim=DIM,
        examples=EXAMPLES,
        layers=LAYERS,
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
