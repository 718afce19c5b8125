"""Numbers that carry a scale for their rounding error."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """A number with its size, the scale of its rounding error.

    The size is the result of the same arithmetic with every term positive, so it bounds the error up to a factor. If terms
    cancel, it is much larger than the number. With fractions, which don't round, it is computed too but not needed.

    Attributes:
        value: a number (tensor, fraction or NumPy array of fractions).
        size: of the same type; at least the value's magnitude.
    """

    value: Any
    size: Any
    __array_ufunc__: ClassVar[None] = None  # NumPy leaves arithmetic with its arrays to this class

    @staticmethod
    def of(number: Any) -> "Rounded":
        """The number with its magnitude as its size; a `Rounded` is returned unchanged."""
        return number if isinstance(number, Rounded) else Rounded(number, abs(number))

    @staticmethod
    def total(terms: Any) -> "Rounded":
        """The sum over the second axis."""
        return Rounded(terms.sum(1), abs(terms).sum(1))

    def __getitem__(self, index: Any) -> "Rounded":
        return Rounded(self.value[index], self.size[index])

    def __neg__(self) -> "Rounded":
        return Rounded(-self.value, self.size)

    def __abs__(self) -> "Rounded":
        return Rounded(abs(self.value), self.size)

    def __add__(self, other: Any) -> "Rounded":
        other = Rounded.of(other)
        return Rounded(self.value + other.value, self.size + other.size)

    def __sub__(self, other: Any) -> "Rounded":
        other = Rounded.of(other)
        return Rounded(self.value - other.value, self.size + other.size)

    def __mul__(self, other: Any) -> "Rounded":
        other = Rounded.of(other)
        return Rounded(self.value * other.value, self.size * other.size)

    def __truediv__(self, other: Any) -> "Rounded":
        other = Rounded.of(other)
        size = abs(other.value)
        return Rounded(self.value / other.value, self.size / size * (other.size / size))

    def __pow__(self, exponent: int) -> "Rounded":
        return Rounded(self.value**exponent, self.size**exponent)

    def __radd__(self, other: Any) -> "Rounded":
        return Rounded.of(other) + self

    def __rsub__(self, other: Any) -> "Rounded":
        return Rounded.of(other) - self

    def __rmul__(self, other: Any) -> "Rounded":
        return Rounded.of(other) * self

    def __rtruediv__(self, other: Any) -> "Rounded":
        return Rounded.of(other) / self
