"""The suite's checker of shapes and types sees what jaxtyping's own sees; `conftest.py` puts it in its place."""

import dataclasses
from collections.abc import Callable, Iterator

import beartype
import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import running
from mesascope.types import Prompts

check = jaxtyping.jaxtyped(typechecker=beartype.beartype)


def refuses(call: Callable[[], object], named: str) -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match=named):
        call()


def test_the_package_is_checked() -> None:
    assert jaxtyping.jaxtyped.__module__ != jaxtyping.__name__
    for checked in (running.run, Prompts.__init__, Prompts.to):
        assert checked.__wrapped__.__name__ == checked.__name__  # type: ignore[attr-defined]
    refuses(lambda: running.run("gd", torch.ones(3), 2), "algorithm")  # type: ignore[arg-type]


def test_axes_of_one_name_have_one_size_throughout_a_call_and_not_beyond_it() -> None:
    @check
    def dot(a: Float[Tensor, " dim"], b: Float[Tensor, " dim"], repeat: int = 1) -> Float[Tensor, " dim"]:
        return (a * b).repeat(repeat)

    assert dot(torch.ones(3), b=torch.ones(3)).shape == (3,) and dot(torch.ones(2), torch.ones(2)).shape == (2,)
    refuses(lambda: dot(torch.ones(3), torch.ones(2)), "b=")
    refuses(lambda: dot(torch.ones(3), torch.ones(3), 2), "return")
    refuses(lambda: dot(torch.ones(3).long(), torch.ones(3)), "a=")
    with pytest.raises(TypeError, match="missing"):
        dot(torch.ones(3))


def test_what_is_called_inside_has_axes_of_its_own_and_errors_of_its_own() -> None:
    @check
    def inner(a: Float[Tensor, " dim"], fail: bool) -> int:
        if fail:
            raise ValueError("its own")
        return len(a)

    @check
    def outer(a: Float[Tensor, " dim"], fail: bool = False) -> Float[Tensor, " dim"]:
        inner(torch.ones(len(a) + 1), fail)
        return a

    assert len(outer(torch.ones(2))) == 2
    with pytest.raises(ValueError, match="its own"):
        outer(torch.ones(2), fail=True)
    assert len(outer(torch.ones(5))) == 5  # the axes of the call that failed are gone


def test_dataclasses_methods_generators_and_names_in_quotes() -> None:
    @check
    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Pair:
        a: Float[Tensor, " dim"]
        b: Float[Tensor, " dim"]

        @property
        @check
        def both(self) -> "Float[Tensor, '2 dim']":
            return self.a if self.a[0] == 7 else torch.stack([self.a, self.b])

        @classmethod
        @check
        def twice(cls, a: Float[Tensor, " dim"]) -> "Pair":  # of a class inside a function nothing is known
            return cls(a=a, b=a)

        @check
        def each(self, times: int) -> Iterator[Tensor]:
            yield from [self.a] * times

    assert Pair.twice(torch.ones(3)).both.shape == (2, 3)
    assert len(list(Pair.twice(torch.ones(3)).each(2))) == 2
    refuses(lambda: Pair(a=torch.ones(3), b=torch.ones(2)), "b=")
    refuses(lambda: Pair.twice(torch.full((3,), 7.0)).both, "return")
    refuses(lambda: Pair.twice(3), "a=")  # type: ignore[arg-type]
    refuses(lambda: Pair.twice(torch.ones(3)).each("2"), "times")  # type: ignore[arg-type]


def test_a_function_that_is_made_again_is_checked_again_with_what_it_holds() -> None:
    def adding(amount: float, hint: type) -> Callable[..., object]:
        @check
        def add(a: Float[Tensor, " dim"], b: hint, *, back: bool = False) -> Float[Tensor, " dim"]:  # type: ignore[valid-type]
            inner = adding(1.0, hint)(a, b, back=False) if amount == 5 else a
            return inner if back else inner[: int(b)] + amount

        return add

    two, five = adding(2.0, int), adding(5.0, int)
    assert two(torch.zeros(3), 3).tolist() == [2.0] * 3  # type: ignore[attr-defined]
    assert five(torch.zeros(2), b=2).tolist() == [6.0] * 2  # type: ignore[attr-defined]
    assert five(torch.zeros(2), 2, back=True).tolist() == [1.0] * 2  # type: ignore[attr-defined]
    refuses(lambda: two(torch.zeros(3), 2), "return")
    refuses(lambda: two(torch.zeros(3), "3"), "b=")
    refuses(lambda: adding(2.0, int)(torch.zeros(3), 3, back=1), "back=")
    assert adding(2.0, str)(torch.zeros(3), "3").tolist() == [2.0] * 3  # type: ignore[attr-defined]
    refuses(lambda: adding(2.0, str)(torch.zeros(3), 3), "b=")


def test_what_is_called_often_in_a_test_is_still_looked_at_now_and_then() -> None:
    @check
    def same(a: int) -> int:
        return a

    def fifty(a: object) -> list[int]:
        return [same(a) for _ in range(50)]  # type: ignore[arg-type]

    assert fifty(1) == [1] * 50
    refuses(lambda: fifty("1"), "a=")


def test_it_can_be_turned_off(unchecked: None) -> None:
    @check
    def same(a: int) -> int:
        return a

    assert same("1") == "1"  # type: ignore[arg-type, comparison-overlap]
