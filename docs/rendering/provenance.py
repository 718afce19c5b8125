"""By which code a result was made, below it."""

from collections.abc import Mapping

from markupsafe import Markup


def made_by(provenance: Mapping[str, object], record: str, *, source: str = "") -> Markup:
    """A line with profile, seed, commit, PyTorch's version and a link to the record.

    Args:
        provenance: the result's.
        record: the address of the committed record from the page.
        source: the write-up that a study follows.
    """
    versions = provenance.get("versions")
    torch = versions.get("torch") if isinstance(versions, dict) else None
    words = (
        *([f"Source {source}"] if source else []),
        f"profile {provenance.get('profile')}",
        f"seed {provenance.get('seed')}",
        Markup("commit <code>{}</code>").format(str(provenance.get("commit"))[:12]),
        f"torch {torch}",
    )
    told = Markup(", ").join(words)
    return Markup('<p><small>{}: <a href="{}">record</a></small></p>').format(told[:1].upper() + told[1:], record)
