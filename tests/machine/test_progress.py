"""Progress bars are seen where they should be, and a file gets a line now and then."""

import warnings

import pytest

from mesascope.machine.progress import plain_warnings, progress_bar


def shown(capsys: pytest.CaptureFixture[str], *, wanted: bool = True) -> str:
    with progress_bar(total=500, start=100, shown=wanted, unit="step") as bar:
        for _ in range(400):
            bar.update()
    out, err = capsys.readouterr()
    assert out == ""  # stdout belongs to results
    return err


def test_a_file_gets_the_first_and_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in shown(capsys).split("\r") if line.strip()]
    assert len(lines) == 2
    assert "100/500" in lines[0]
    assert "500/500" in lines[1]


def test_it_is_hidden_for_who_asks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(capsys, wanted=False) == ""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert shown(capsys) == ""
    monkeypatch.setenv("TQDM_DISABLE", "0")
    assert "500/500" in shown(capsys)


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line_without_the_code_that_raised_it(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with plain_warnings(), progress_bar(total=1, start=0, shown=True):
        warnings.warn("3 of 20 fits\nhave not converged", UserWarning, stacklevel=1)
    assert "\rwarning: 3 of 20 fits\\nhave not converged\n" in capsys.readouterr().err.replace(" \r", "\r")
    assert warnings.showwarning is before
