"""Nothing foreign reaches the terminal raw."""

from pathlib import Path

import pytest

HOSTILE = "\x1b[31mred\n\r\u202e\x9b"


@pytest.mark.parametrize(
    "arguments",
    [
        ("examine", HOSTILE),
        ("identify", "two-layer", "--task", f"{HOSTILE}.json"),
        ("identify", "two-layer", "--algorithms", HOSTILE),
        ("identify", "two-layer", "--device", HOSTILE),
        ("identify", f"python:{HOSTILE}:load"),
        ("identify", f"construction:gradient-descent?{HOSTILE}=3"),
        ("train", "foreign.json"),
        ("train", HOSTILE),
        ("train", "spec.json", "--out", f"{HOSTILE}/below"),
        ("convert", f"{HOSTILE}.pt"),
        ("study", "run", HOSTILE),
        (HOSTILE,),
    ],
    ids=str,
)
def test_nothing_foreign_reaches_the_terminal_raw(arguments, write, spec, refused):
    spec()
    write("foreign.json", {HOSTILE: 3, "name": "x"})
    write(HOSTILE, "a file")
    assert refused(*arguments).removesuffix("\n").isprintable()


def test_what_is_said_of_a_run_under_a_hostile_name_is_inert(command, caplog, spec):
    """Names of directories, in a refusal, in a message and where all went well."""
    out = HOSTILE.replace("\n", "")
    status, said, _ = command("train", spec(), "--out", out)
    assert (status, said.removesuffix("\n").isprintable()) == (0, True)
    (Path(out) / "model.json").write_text("{")
    assert command("train", "spec.json", "--out", out, "--resume")[0] == 0
    assert "Making it again" in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)
