"""Mesascope: which learning algorithm does a sequence model run in its forward pass?

::

    import mesascope as ms

    task = ms.tasks.LinearRegression(dim=5, examples=20)
    prompts = task.sample(256, seed=0)
    path = ms.run(ms.algorithms.ConjugateGradient(), prompts, steps=8)
    model = ms.load("two-layer")
    trace = model.trace(prompts, capture=[ms.Site(layer=1, kind="attn_out")])
    verdict = ms.identify(model, task, seed=0)
    record = ms.examine(model, task, profile="laptop", seed=0)
    ms.save(record, "out/")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesascope.facade import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """Load the façade when the first of its names is asked for.

    Whoever imports one room, and the command line above all, is spared the seconds that the whole takes to load.
    """
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module 'mesascope' has no attribute {name!r}")
    facade = importlib.import_module("mesascope.facade")
    offered = getattr(facade, "__all__", ())  # empty while the façade itself is being loaded
    globals().update({each: getattr(facade, each) for each in offered}, **({"__all__": offered} if offered else {}))
    if name not in globals():
        raise AttributeError(f"module 'mesascope' has no attribute {name!r}")
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *importlib.import_module("mesascope.facade").__all__})
