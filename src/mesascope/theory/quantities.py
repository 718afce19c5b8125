"""The variables that statements share: one name, one symbol and one meaning each."""

from mesascope.theory.expressions import Expression, Natural, Operand, Real, Sequence


def _real(name: str, symbol: str, meaning: str) -> Real:
    return Real(name=name, symbol=symbol, meaning=meaning)


def _sequence(name: str, symbol: str, meaning: str) -> Sequence:
    return Sequence(name=name, symbol=symbol, meaning=meaning)


a = _real("a", "a", "curvature: Σ x² over the examples")
b = _real("b", "b", "Σ x·y over the examples")
c = _real("c", "c", "Σ y² over the examples")
eta = _real("eta", "η", "step size")
w = _real("w", "w", "weight before the step")
w_star = _real("w_star", "w*", "least-squares weight")
error = _real("e", "e", "error of the weight, w − w*")

before = _real("before", "E₀", "loss, or squared error, before")
after = _real("after", "E₁", "the same after one step")
later = _real("later", "E₂", "the same after two steps")
last = _real("last", "E₃", "the same after three steps")
rate = _real("rate", "ρ²", "squared contraction factor of one step")
factor = _real("factor", "f", "step factor, η(2 − ηa)")
energy = _real("energy", "G", "gradient energy, g²")

p = _real("p", "p", "attention weight of the first example")
y_1 = _real("y_1", "y₁", "smaller target")
y_2 = _real("y_2", "y₂", "larger target")
u = _real("u", "u", "step product of a channel, or of uniform attention: η·curvature")
v = _real("v", "v", "step product of another channel, or of softmax attention")
a_p = _real("a_p", "a_p", "attention-weighted curvature, Σ p·x²")

gain_qk = _real("q", "q", "key–query gain")
gain_vo = _real("o", "o", "value–output gain")

a_1 = _real("a_1", "a₁", "curvature of the first channel")
a_2 = _real("a_2", "a₂", "curvature of the second channel")
kappa = _real("kappa", "κ", "gain that the channels share")
kappa_1 = _real("kappa_1", "κ₁", "gain of the first channel")
kappa_2 = _real("kappa_2", "κ₂", "gain of the second channel")
g_1 = _real("g_1", "g₁", "gradient in the first channel")
g_2 = _real("g_2", "g₂", "gradient in the second channel")
u_1 = _real("u_1", "u₁", "update, or gradient after the step, in the first channel")
u_2 = _real("u_2", "u₂", "update, or gradient after the step, in the second channel")
loss_1 = _real("l_1", "L₁", "loss of the first channel before")
loss_2 = _real("l_2", "L₂", "loss of the second channel before")
next_1 = _real("m_1", "L₁′", "loss of the first channel after")
next_2 = _real("m_2", "L₂′", "loss of the second channel after")

d = Natural(name="d", meaning="number of channels")
n = Natural(name="n", meaning="number of steps")
k = Natural(name="k")
energies = _sequence("G", "G", "gradient energy per channel")
gradients = _sequence("g", "g", "gradient per channel")
updates = _sequence("u", "u", "update, or gradient after the step, per channel")
gains = _sequence("kappa", "κ", "gain per channel")
path = _sequence("w", "w", "weight after each step")


def gradient(weight: Operand) -> Expression:
    """g = a·w − b: half the derivative of `loss`."""
    return a * weight - b


def step(weight: Expression) -> Expression:
    """The weight after one step of gradient descent: w − η·g."""
    return weight - eta * gradient(weight)


def loss(weight: Expression) -> Expression:
    """Σ (y − w·x)² over the examples, multiplied out; a sum, not a mean."""
    return a * weight**2 - 2 * b * weight + c
