"""The candidates for a task whose labels are binary or counts: methods for its objective, beside those for linear regression.

The latter read the labels as linear predictors to first order (`mesascope.algorithms.glm.linearised`), which centres them. A
network that takes no notice of the link may also regress on the labels as they are, without centring: three candidates do.
"""

from functools import partial

from mesascope.algorithms import (
    Algorithm,
    GLMGradientDescent,
    GLMHeavyBall,
    GLMNewton,
    GLMNewtonCG,
    GLMPenalisedLikelihood,
    GradientDescent,
    LeastSquares,
    Ridge,
)
from mesascope.instruments.identification.family import Coefficient, CoefficientValue, Family
from mesascope.types import GlmFamily

STEP = Coefficient(name="step_size", low=1e-3, high=30.0, power=-1)
LINEAR_STEP = Coefficient(name="step_size", low=1e-3, high=10.0, power=-1)
RIDGE = Coefficient(name="ridge", low=1e-6, high=1e3, power=1)
PENALTY = Coefficient(name="penalty", low=0.0, high=2.0, scale="linear", power=1, noticeable=0.01)
MOMENTUM = Coefficient(name="momentum", low=0.0, high=0.98, scale="linear", noticeable=0.1)
INNER = 5
"""The largest number of steps of conjugate gradients per Newton step among the candidates."""
STRIDE = 3
"""The largest number of steps per layer that is tried (`fitting.STRIDES`)."""
NEWTON_STEPS = 8
"""Newton steps after which nothing changes any more on most prompts."""
STEPS = 32
"""Steps of gradient descent that are tried for the question of the function."""
RAW = ":raw-labels"
"""The end of the names of linear candidates that read such a task's labels as they are."""


def penalised(glm: GlmFamily) -> Family:
    """The solutions with a penalty, which are the modes of posteriors."""
    return Family(
        name="glm-penalised-likelihood",
        make=partial(GLMPenalisedLikelihood, family=glm),
        coefficients=(RIDGE,),
        iterative=False,
        batched=True,
        raw=True,
    )


def generalised(glm: GlmFamily, dim: int, examples: int) -> tuple[Family, ...]:
    """The candidates that read the labels as they are, simplest first.

    Args:
        glm: the distribution of the labels.
        dim: the dimension of the inputs; with so many steps of conjugate gradients a linear system is solved.
        examples: n, which a penalty λ/n of the mean objective is multiplied by.
    """
    descent = partial(GLMGradientDescent, family=glm)

    def damped(*, step_size: CoefficientValue, penalty: CoefficientValue) -> Algorithm:
        return descent(step_size=step_size, ridge=examples * penalty)

    newton = Family(
        name="glm-newton",
        make=partial(GLMNewton, family=glm),
        coefficients=(RIDGE,),
        batched=True,
        raw=True,
        longest=NEWTON_STEPS,
    )
    return (
        penalised(glm),
        Family(name="glm-gradient-descent", make=descent, coefficients=(STEP,), batched=True, raw=True, longest=STEPS),
        Family(
            name="glm-gradient-descent:damped",
            make=damped,
            coefficients=(STEP, PENALTY),
            batched=True,
            raw=True,
            longest=STEPS,
            contains={"glm-gradient-descent": lambda size: (size, 0.0)},
        ),
        Family(
            name="glm-heavy-ball",
            make=partial(GLMHeavyBall, family=glm),
            coefficients=(STEP, MOMENTUM),
            batched=True,
            raw=True,
            longest=STEPS,
            contains={"glm-gradient-descent": lambda size: (size, 0.0)},
        ),
        newton,
        *(
            Family(
                name=f"glm-newton-cg:{inner}-inner",
                make=partial(GLMNewtonCG, family=glm, inner=inner),
                coefficients=(RIDGE,),
                batched=True,
                raw=True,
                longest=NEWTON_STEPS * inner,
            )
            for inner in range(1, min(INNER, dim) + 1)
            if inner < dim or inner > STRIDE  # else Newton's own steps are among its strides
        ),
        Family(name=f"least-squares{RAW}", make=LeastSquares, iterative=False, raw=True),
        Family(name=f"ridge{RAW}", make=Ridge, coefficients=(RIDGE,), iterative=False, raw=True),
        Family(
            name=f"gradient-descent{RAW}", make=GradientDescent, coefficients=(LINEAR_STEP,), batched=True, raw=True
        ),
    )


__all__ = ("RAW", "generalised", "penalised")
