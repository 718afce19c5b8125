"""Integrity of a model's checkpoints, before anything is measured over training: every tensor hashed, and what is wrong named.

Published sweeps have read twelve equal checkpoints as twelve points of a curve. What is found wrong here is excluded by name.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.shown import shown

ENTRIES = 256
"""Entries of a tensor, evenly spaced, that are kept to say how far apart checkpoints are."""
SLACK = 0.05
"""Share of the largest distance by which a checkpoint may be out of order: training does not run straight."""
FEWEST = 5
"""Checkpoints without which no order can be seen."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fingerprint:
    """What is kept of a checkpoint when its tensors are gone.

    Attributes:
        step: the step that its name says.
        name: its name.
        hashes: by tensor, the SHA-256 of its type, shape and bytes.
        shapes: by tensor.
        sketch: by tensor, up to `ENTRIES` of its entries, in float64.
        broken: tensors that are not finite.
        unreadable: why it could not be read; empty if it could.
    """

    step: int
    name: str
    hashes: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sketch: Mapping[str, Float[Tensor, " entry"]] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    unreadable: str = ""

    @property
    def whole(self) -> str:
        """The SHA-256 of all tensors' names and hashes."""
        lines = "\n".join(f"{name} {digest}" for name, digest in sorted(self.hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A checkpoint and what is wrong with it.

    Attributes:
        step, name: as in `Fingerprint`.
        sha256: of all its tensors; empty if it could not be read.
        faults: what is wrong, in words; it is excluded if there is anything.
    """

    step: int
    name: str
    sha256: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """All checkpoints of a model.

    Attributes:
        checkpoints: in the order of their steps.
        missing: steps at which there should be a checkpoint and is none.
    """

    checkpoints: tuple[Checked, ...]
    missing: tuple[int, ...] = ()

    @property
    def usable(self) -> tuple[int, ...]:
        """The steps of the checkpoints that have no fault."""
        return tuple(each.step for each in self.checkpoints if not each.faults)

    @property
    def excluded(self) -> dict[int, str]:
        """Why each of the others is left out, by its step."""
        return {each.step: f"{each.name}: {'; '.join(each.faults)}" for each in self.checkpoints if each.faults}


def fingerprint(step: int, name: str, tensors: Iterable[tuple[str, Tensor]]) -> Fingerprint:
    """Hash a checkpoint's tensors, which may come one at a time."""
    hashes, shapes, sketch, broken = {}, {}, {}, []
    for key, tensor in tensors:
        flat = tensor.detach().cpu().contiguous().flatten()
        digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(memoryview(flat.view(torch.uint8).numpy()))  # type: ignore[arg-type]
        hashes[key], shapes[key] = digest.hexdigest(), tuple(tensor.shape)
        if tensor.is_floating_point() and len(flat):
            at = torch.linspace(0, len(flat) - 1, min(len(flat), ENTRIES)).round().long()
            sketch[key] = flat[at].double()
            if not bool(torch.isfinite(flat).all()):
                broken.append(key)
    return Fingerprint(step=step, name=name, hashes=hashes, shapes=shapes, sketch=sketch, broken=tuple(broken))


def examined(found: Sequence[Fingerprint], expected: Sequence[int] = ()) -> Integrity:
    """What is wrong with checkpoints: those that differ from the others in shape, are not finite, equal, mixed, or out of order.

    Checkpoints are out of order if the distance from the first (or to the last, whichever explains all with fewer faults) does
    not grow (shrink) with the steps. Weights from a neighbouring step are within `SLACK` and are not seen. Of equal checkpoints
    the one in its order is kept; where the order cannot tell, none is.

    Args:
        found: in any order; two may not have one step.
        expected: steps at which there should be a checkpoint.
    """
    ordered = sorted(found, key=lambda each: each.step)
    faults: dict[int, list[str]] = {each.step: [] for each in ordered}
    for each in ordered:
        if each.unreadable:
            faults[each.step].append(f"cannot be read: {each.unreadable}")
    read = [each for each in ordered if not each.unreadable]
    whole = [each for each in read if not _malformed(each, read, faults[each.step])]
    late = misplaced(_sketches(whole, None)) if whole else set()
    out = {whole[i].step for i in late}
    _equal(whole, out, faults)
    mixed = _mixed(whole, faults)
    for step in out - mixed:
        if not faults[step]:
            faults[step].append(
                "out of order: its weights are nearer to those of another part of training than to its own"
            )
    checked = tuple(
        Checked(
            step=each.step,
            name=each.name,
            sha256="" if each.unreadable else each.whole,
            faults=tuple(faults[each.step]),
        )
        for each in ordered
    )
    return Integrity(checkpoints=checked, missing=tuple(sorted({*expected} - {each.step for each in ordered})))


def misplaced(sketches: Float[Tensor, "member entry"]) -> set[int]:
    """The checkpoints, by number, that are not where the path of training has them; see `examined`."""
    if len(sketches) < FEWEST:
        return set()
    from_first = (sketches - sketches[0]).norm(dim=1)
    to_last = (sketches - sketches[-1]).norm(dim=1)
    return min((_off(along.tolist()) for along in (from_first, -to_last)), key=len)


def _off(values: Sequence[float]) -> set[int]:
    """The fewest numbers without which the others rise, but for `SLACK`."""
    slack = SLACK * max(map(abs, values))
    best: list[tuple[int, int]] = []  # the length of the longest rising row that ends here, and the one before
    for i, value in enumerate(values):
        before = [(best[j][0], j) for j in range(i) if values[j] <= value + slack]
        length, j = max(before, default=(0, -1))
        best.append((length + 1, j))
    kept, at = set(), max(range(len(values)), key=lambda i: best[i][0])
    while at >= 0:
        kept.add(at)
        at = best[at][1]
    return set(range(len(values))) - kept


def _malformed(each: Fingerprint, others: Sequence[Fingerprint], faults: list[str]) -> bool:
    """Note tensors that are missing, of another shape than in most checkpoints, or not finite."""
    usual: dict[str, list[tuple[int, ...]]] = {}
    for other in others:
        for name, shape in other.shapes.items():
            usual.setdefault(name, []).append(shape)
    common = {name: max(shapes, key=shapes.count) for name, shapes in usual.items() if 2 * len(shapes) > len(others)}
    if missing := sorted(common.keys() - each.shapes.keys()):
        faults.append(f"lacks {_some(missing)}")
    if unknown := sorted(each.shapes.keys() - common.keys()):
        faults.append(f"has {_some(unknown)}, which most others do not have")
    if other := sorted(name for name, shape in common.items() if each.shapes.get(name, shape) != shape):
        faults.append(f"has another shape of {_some(other)}")
    if each.broken:
        faults.append(f"not finite: {_some(each.broken)}")
    return bool(faults)


def _equal(found: Sequence[Fingerprint], out: set[int], faults: Mapping[int, list[str]]) -> None:
    """Note checkpoints with the same weights under several steps: of each group all but the only one that is in its order."""
    groups: dict[str, list[Fingerprint]] = {}
    for each in found:
        groups.setdefault(each.whole, []).append(each)
    for group in groups.values():
        right = [each for each in group if each.step not in out]
        for each in group if len(group) > 1 else ():
            if right != [each]:
                others = [str(other.step) for other in group if other is not each]
                faults[each.step].append(f"the same weights as step {', '.join(others)}")


def _mixed(found: Sequence[Fingerprint], faults: Mapping[int, list[str]]) -> set[int]:
    """Note checkpoints that have some tensors of another one while the rest differs, as after one shard was swapped.

    Tensors that never change, and those with one value throughout (norms that are still 1, biases that are still 0), are no sign.

    Returns:
        The steps of all checkpoints that share tensors.
    """
    mixed: set[int] = set()
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            shared = [name for name in a.hashes if a.hashes[name] == b.hashes.get(name) and _moves(name, found)]
            if not shared or a.whole == b.whole:
                continue
            mixed |= {a.step, b.step}
            late = {found[i].step for i in misplaced(_sketches(found, shared))} & {a.step, b.step}
            wrong = late if len(late) == 1 else {a.step, b.step}
            for each, other in ((a, b), (b, a)):
                if each.step in wrong:
                    words = f"{len(shared)} of {len(a.hashes)} tensors are those of step {other.step}"
                    faults[each.step].append(f"{words}, {_some(shared)} among them: a swapped shard")
    return mixed


def _moves(name: str, found: Sequence[Fingerprint]) -> bool:
    held = [each.sketch[name] for each in found if name in each.sketch]
    return len({each.hashes[name] for each in found}) > 1 and all(bool((s != s[0]).any()) for s in held) and bool(held)


def _sketches(found: Sequence[Fingerprint], names: Sequence[str] | None) -> Float[Tensor, "member entry"]:
    wanted = sorted(found[0].sketch) if names is None else names
    return torch.stack([torch.cat([each.sketch[name] for name in wanted if name in each.sketch]) for each in found])


def _some(names: Sequence[str]) -> str:
    return f"{shown(names[0])}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"
