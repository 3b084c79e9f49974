"""A shell completes this program's command lines with the printed script."""

import shutil
import subprocess
from pathlib import Path

import pytest

from siftfunnel import cli
from siftfunnel.completion_cli import SHELLS


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (["siftfunnel", "clo"], {"cloud"}),
        (["siftfunnel", "cloud", "--max-b"], {"--max-batch"}),
        (["siftfunnel", "bundle", "ver"], {"verify"}),
        (["siftfunnel", "cloud", "--engine", "onn"], {"onnxruntime"}),
    ],
)
def test_bash_completes(line: list[str], wanted: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    state = f"COMP_WORDS=({' '.join(line)}); COMP_CWORD={len(line) - 1}"
    call = f"_shtab_siftfunnel siftfunnel {line[-1]} {line[-2]}"
    ask = "\n".join([script, state, call, 'printf "%s\\n" "${COMPREPLY[@]}"'])
    told = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout
    assert set(told.split()) == wanted


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_takes_its_script(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    assert "drain-seconds" in script.read_text()
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n", str(script)], check=True)
