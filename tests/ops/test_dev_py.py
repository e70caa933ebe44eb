"""dev.py with the system's Python: what it says, and when it installs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import dev

ROOT = Path(dev.__file__).resolve().parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # -S -E: the standard library alone, as on a machine where nothing is installed yet.
    command = [sys.executable, "-S", "-E", str(ROOT / "dev.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files that decide what is installed, with an environment that looks made."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "LOCK", tmp_path / "constraints.txt")
    monkeypatch.setattr(dev, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(dev, "STAMP", venv / "readerstudy-installed.json")
    return tmp_path


def test_help_needs_only_the_standard_library() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("demo", "test", "lint", "ci", "lock", "manage", "install", "format"):
        assert f"\n    {command}" in done.stdout


def test_an_unknown_command_is_one_sentence() -> None:
    done = run("dmeo")
    assert done.returncode == 1
    assert (
        done.stderr == "dev.py: dev.py has no command 'dmeo': `python3 dev.py help` lists them.\n"
    )


@pytest.mark.parametrize(
    ("version", "system", "machine", "said"),
    [
        ((3, 10, 4), "Linux", "x86_64", "This is Python 3.10, but readerstudy needs 3.11"),
        ((3, 14, 0), "Linux", "x86_64", "locked for 3.11 to 3.13"),
        ((3, 12, 1), "Windows", "AMD64", "Windows Subsystem for Linux"),
        ((3, 12, 1), "Darwin", "x86_64", "Apple silicon"),
    ],
)
def test_where_it_cannot_run_it_says_why(
    version: tuple[int, ...], system: str, machine: str, said: str
) -> None:
    with pytest.raises(dev.Problem, match=said):
        dev.check_python(version, system, machine)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9), (3, 13, 1)])
@pytest.mark.parametrize("system", [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")])
def test_supported_machines_pass(version: tuple[int, ...], system: tuple[str, str]) -> None:
    dev.check_python(version, *system)


def test_a_full_disk_is_noticed_before_anything_is_downloaded() -> None:
    with pytest.raises(dev.Problem, match=r"needs 3\.0 GB .* only 0\.2 GB are free"):
        dev.check_disk(200_000_000, dev.NEEDED_BYTES["runtime"])
    dev.check_disk(10_000_000_000, dev.NEEDED_BYTES["test"])


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("OSError: [Errno 28] No space left on device: '/x'", "disk is full"),
        ("... NewConnectionError: [Errno -2] Name or service not known", "cannot be reached"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "certificate"),
        ("ERROR: No matching distribution found for torch==2.13.0", "No matching distribution"),
        ("", "pip stopped without saying why"),
    ],
)
def test_a_failed_installation_is_explained(log: str, said: str) -> None:
    sentence = dev.explain(log)
    assert said in sentence
    assert "\n" not in sentence


def test_a_finished_installation_is_not_repeated(checkout: Path) -> None:
    assert not dev.is_installed("runtime", "index")
    dev.write_stamp("runtime", "index")
    assert dev.is_installed("runtime", "index")
    assert not dev.is_installed("test", "index"), "the test tools are still missing"
    dev.write_stamp("test", "index")
    assert dev.is_installed("test", "index")
    assert dev.is_installed("runtime", "index"), "the test tools come on top of the runtime"


@pytest.mark.parametrize("change", ["lock", "dependency", "index", "moved", "no python", "damaged"])
def test_a_change_installs_again(checkout: Path, change: str) -> None:
    dev.write_stamp("runtime", "index")
    index = "index"
    if change == "lock":
        dev.LOCK.write_text(dev.LOCK.read_text().replace("celery==5", "celery==4"))
    elif change == "dependency":
        project = checkout / "pyproject.toml"
        project.write_text(project.read_text().replace('"rules==3.5"', '"rules==3.6"'))
    elif change == "index":
        index = "https://download.pytorch.org/whl/cu130"
    elif change == "moved":
        stamp = json.loads(dev.STAMP.read_text())
        dev.STAMP.write_text(json.dumps({**stamp, "root": "/elsewhere"}))
    elif change == "no python":
        dev.PYTHON.unlink()
    else:
        dev.STAMP.write_text("{")
    assert not dev.is_installed("runtime", index)


def test_torch_comes_from_the_cpu_index_unless_told_otherwise() -> None:
    assert dev.torch_index({}, "Linux") == dev.TORCH_CPU_INDEX
    assert dev.torch_index({}, "Darwin") == "", "PyPI's macOS build needs no other index"
    assert dev.torch_index({"READERSTUDY_TORCH_INDEX": ""}, "Linux") == ""
    gpu = "https://download.pytorch.org/whl/cu130"
    assert dev.torch_index({"READERSTUDY_TORCH_INDEX": gpu}, "Linux") == gpu


@pytest.mark.parametrize(
    ("installed", "index", "forced"),
    [
        ("torch-2.13.0+cpu", "https://download.pytorch.org/whl/cu130", True),
        ("torch-2.13.0+cpu", "https://download.pytorch.org/whl/cpu/", False),
        ("torch-2.13.0", "https://download.pytorch.org/whl/cpu", False),
        (None, "https://download.pytorch.org/whl/cpu", False),
    ],
)
def test_another_build_of_the_same_torch_is_put_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    installed: str | None,
    index: str,
    forced: bool,
) -> None:
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    (packages / "torchmetrics-1.0+cpu.dist-info").mkdir(parents=True)
    if installed:
        (packages / f"{installed}.dist-info").mkdir()
    asked: list[list[str]] = []
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(
        dev, "pip_install", lambda _, words, *rest, **options: asked.append(words) or True
    )
    dev.install_torch(index)
    assert ("--force-reinstall" in asked[0]) is forced
    assert asked[0][-1] == "torch==2.13.0"


def test_an_index_without_torch_is_given_up_after_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(
        dev, "pip_install", lambda _, words, *rest, **options: bool(asked.append(words))
    )
    dev.install_torch("https://index.example/whl/cpu")
    assert asked[0][1:3] == ["--retries", "1"]
    assert asked[1] == ["--no-deps", "torch==2.13.0"], "pip's own configuration decides"


def test_the_whole_suite_runs_on_all_cores_and_a_part_as_asked() -> None:
    assert dev.pytest_arguments([], 2)[2:4] == ["-n", "2"]
    assert dev.pytest_arguments([], 64)[2:4] == ["-n", "4"]
    assert dev.pytest_arguments(["tests/ops", "-x"], 2) == ["-m", "pytest", "tests/ops", "-x"]


def test_manage_is_about_the_demo_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    here = {"READERSTUDY_DATA_DIR": str(tmp_path)}
    assert dev.demo_mode(here) == {}, "no demo has run here"
    (tmp_path / "demo-secret-key").touch()
    assert dev.demo_mode(here) == {"READERSTUDY_DEMO": "1"}
    assert dev.demo_mode({**here, "READERSTUDY_SECRET_KEY": "x"}) == {}
    assert dev.demo_mode({**here, "READERSTUDY_SECRET_KEY_FILE": "/run/key"}) == {}


def test_a_python_without_venv_is_explained(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python-without-ensurepip"
    broken.write_text("#!/bin/sh\necho 'ensurepip is not available' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(dev, "VENV", tmp_path / "new-venv")
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(dev.Problem, match=r"sudo apt-get install python3\.\d+-venv"):
        dev.make_venv()
    assert not (tmp_path / "new-venv").exists()
