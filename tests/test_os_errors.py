"""Errors of the system: one line with the path, the true cause and a remedy; exit code 1."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cameo_data.cli import main
from cameo_data.io import os_errors

REMEDIES = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "quota",
    errno.EROFS: "choose a folder that can be written",
    errno.EMFILE: "ulimit -n",
    errno.EACCES: "change its permissions",
    errno.ENOENT: "correct the path",
    errno.ELOOP: "check the path and the disk",
}


@pytest.mark.parametrize("code", REMEDIES, ids=lambda code: errno.errorcode[code])
def test_each_cause_has_its_own_remedy(code):
    line = os_errors.described(OSError(code, os.strerror(code), "out/a.tar"))
    assert line.startswith(f"out/a.tar: {os.strerror(code)}; ")
    assert REMEDIES[code] in line
    assert line.endswith("and run again")


def test_an_error_of_writing_gets_its_path():
    with (
        pytest.raises(OSError, match=r"No space left on device: 'out/a.tar'"),
        os_errors.naming(Path("out/a.tar")),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_that_names_its_file_keeps_it():
    with pytest.raises(FileNotFoundError, match=r"'b'"), os_errors.naming(Path("a")):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "b")


def _small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.parametrize("command", ["build-corr", "depth", "synth", "preview"])
def test_a_refused_write_names_the_file(command, tiny_scenes, tiny_build, tmp_path):
    """Files may not grow beyond 20 kB here: the system refuses as on a full disk, in the middle."""
    out = tmp_path / "out"
    args = {
        "build-corr": ["synthetic", tiny_scenes, "--out", out, "--views", 3, "--workers", 1],
        "depth": ["fuse", "synthetic", tiny_scenes, "--out", out, "--workers", 1],
        "synth": [out, "--scenes", 1, "--frames", 1, "--size", 128, "--samples", 1],
        "preview": [tiny_build[0], "--out", out / "page.html"],
    }[command]
    done = subprocess.run(
        [sys.executable, "-c", "from cameo_data.cli import main; main()", command, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_small_files,
    )
    assert done.returncode == 1, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(f"error: {out}"), done.stderr
    assert "File too large; raise the limit on file sizes" in line
    assert "Traceback" not in done.stderr


def test_a_read_only_folder_is_named(tiny_scenes, tmp_path, monkeypatch):
    def refuse(self, *_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    args = ["build-corr", "synthetic", tiny_scenes, "--out", tmp_path / "out"]
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 1
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith(f"error: {tmp_path / 'out'}")
    assert "Read-only file system; choose a folder that can be written" in line
