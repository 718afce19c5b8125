"""The page on language models: all its code, in the order in which it is read."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "language-models.md"


def test_every_block_runs_and_gives_what_the_page_says(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 8
    names: dict[str, object] = {}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    assert names["early"].name != names["model"].name
    assert len(names["by_layer"]) == len(names["model"].path) + 1
    assert names["by_depth"][-1] < names["by_depth"][0]
    assert {m.instrument for m in (*names["found"], *names["rates"])} == {"refinement", "curvature"}
    known, control = names["after_last"]
    assert known < control / 2
    assert names["letters"].writing.template.before_input == "x"
    assert capsys.readouterr().out.startswith("slope 0.")
