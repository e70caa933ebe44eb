#!/usr/bin/env python3
"""Set up and run readerstudy with nothing but Python: `python3 dev.py demo`.

    demo    install once, then start the platform with demo data on http://127.0.0.1:8000
    test    install once, then run the whole test suite (further words go to pytest)
    lint    formatter, linters, types, arrows between the rooms, migrations, deployment checks
    ci      lint, then test
    format  rewrite the code the way `lint` wants it
    lock    write constraints.txt from pyproject.toml
    manage  run a command of manage.py, on the demo's data if there is no other installation
    install make .venv with the runtime packages (`install test`: with the test tools) and stop

The environment lives in .venv beside this file. READERSTUDY_TORCH_INDEX chooses where PyTorch
comes from: unset takes the CPU build, e.g. https://download.pytorch.org/whl/cu130 a GPU build,
empty leaves the choice to pip's own configuration.
"""

# Standard library only, and old syntax at the top level: an old Python must get as far as the
# sentence that says it is too old.
from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "readerstudy-installed.json"
LOG = VENV / "install.log"
LOCK = ROOT / "constraints.txt"
MANAGE = str(ROOT / "manage.py")

RUNNING = ".".join(str(part) for part in sys.version_info[:3])
OLDEST, FIRST_UNSUPPORTED = (3, 11), (3, 14)
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NEEDED_BYTES = {"runtime": 3_000_000_000, "test": 3_500_000_000}
DISK_FULL = "The disk is full: make room and run the same command again."
GPU_ONLY = ("nvidia-", "cuda-", "triton")

LOCK_HEADER = """\
# Exact versions of every package, for Linux and macOS and Python 3.11 to 3.13.
# Written by `python3 dev.py lock` from pyproject.toml; the CUDA packages of PyTorch are left out
# because the CPU build needs none of them and a GPU build brings its own.
"""


class Problem(Exception):
    """One sentence for the person at the terminal: what is wrong and what to do."""


def say(text: str) -> None:
    print(text, flush=True)


# ------------------------------------------------------------------------------ preconditions
def check_python(version: tuple[int, ...], system: str, machine: str) -> None:
    """Raises Problem where the platform cannot run."""
    found = ".".join(str(part) for part in version[:2])
    if version < OLDEST:
        raise Problem(
            f"This is Python {found}, but readerstudy needs 3.11, 3.12 or 3.13: "
            "run it with a newer one, for example `python3.12 dev.py demo`."
        )
    if version >= FIRST_UNSUPPORTED:
        raise Problem(
            f"This is Python {found}, and PyTorch and its neighbours are locked for 3.11 to 3.13: "
            "run it with one of these, for example `python3.13 dev.py demo`."
        )
    if system not in ("Linux", "Darwin"):
        raise Problem(
            f"readerstudy runs on Linux and macOS, not on {system}: "
            "on Windows, use the Windows Subsystem for Linux (WSL)."
        )
    if system == "Darwin" and machine == "x86_64":
        raise Problem(
            "PyTorch is no longer built for Intel Macs: use a Mac with Apple silicon, or Linux."
        )


def check_disk(free: int, needed: int) -> None:
    if free < needed:
        raise Problem(
            f"The installation needs {needed / 1e9:.1f} GB of free disk at {ROOT}, and only "
            f"{free / 1e9:.1f} GB are free: make room and run the same command again."
        )


# ------------------------------------------------------------------------------- what is wanted
def dependencies(kind: str) -> list[str]:
    """Requirements of pyproject.toml: "runtime", or "test" for both."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted: list[str] = list(project["dependencies"])
    if kind == "test":
        wanted += project["optional-dependencies"]["test"]
    return wanted


def torch_index(environ: dict[str, str], system: str) -> str:
    """Where to look for PyTorch first; empty leaves it to pip's own configuration."""
    # PyPI's macOS build is the CPU and Metal build already; on Linux it is the CUDA build.
    return environ.get("READERSTUDY_TORCH_INDEX", TORCH_CPU_INDEX if system == "Linux" else "")


def fingerprint(kind: str, index: str) -> str:
    """Changes whenever the environment must be brought up to date."""
    parts = [RUNNING, platform.machine(), index, *dependencies(kind)]
    parts.append(LOCK.read_text(encoding="utf-8"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_stamp() -> dict[str, str]:
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_installed(kind: str, index: str) -> bool:
    stamp = read_stamp()
    if not PYTHON.exists() or stamp.get("root") != str(ROOT):
        return False
    # An environment with the test tools holds the runtime packages too.
    kinds = ("runtime", "test") if kind == "runtime" else ("test",)
    return any(stamp.get(name) == fingerprint(name, index) for name in kinds)


def write_stamp(kind: str, index: str) -> None:
    stamp = {"root": str(ROOT), kind: fingerprint(kind, index)}
    beside = STAMP.with_suffix(".part")
    beside.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, STAMP)


# ------------------------------------------------------------------------------------ installing
def explain(log: str) -> str:
    """One sentence for a failed installation, from pip's own words."""
    words = log.lower()
    if "no space left on device" in words or "disk quota exceeded" in words:
        return DISK_FULL
    if any(
        sign in words
        for sign in (
            "newconnectionerror",
            "name or service not known",
            "temporary failure in name resolution",
            "nodename nor servname",
            "network is unreachable",
            "connection refused",
            "connecttimeouterror",
            "read timed out",
            "proxyerror",
        )
    ):
        return (
            "The package index cannot be reached: check the network or pip's proxy settings and "
            "run the same command again (it goes on where it stopped)."
        )
    if "certificate_verify_failed" in words:
        return (
            "The package index shows a certificate that Python does not trust: tell pip about "
            "your organisation's certificate (pip config set global.cert FILE) and try again."
        )
    errors = [line.strip() for line in log.splitlines() if line.upper().startswith("ERROR:")]
    said = errors[-1][6:].strip() if errors else "pip stopped without saying why"
    return f"The packages could not be installed: {said.rstrip('.')}."


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two commands started together must not install into the same .venv."""
    import fcntl

    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another dev.py is installing; waiting for it.")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def make_venv() -> None:
    # The copy a folder was moved or cloned with points to another place: start over.
    same_python = f"version = {RUNNING}"
    config = VENV / "pyvenv.cfg"
    ours = read_stamp().get("root") in (None, str(ROOT))
    with contextlib.suppress(OSError):
        if ours and same_python in config.read_text(encoding="utf-8") and pip_works():
            return
    if VENV.exists():
        say("      (replacing the .venv of another Python or folder)")
        shutil.rmtree(VENV)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        said = made.stdout + made.stderr
        if "No space left" in said:
            raise Problem(explain(said))
        raise Problem(
            "This Python cannot make virtual environments: install its venv module "
            f"(Debian or Ubuntu: sudo apt-get install python{sys.version_info[0]}."
            f"{sys.version_info[1]}-venv) and run the same command again."
        )


def pip_works() -> bool:
    command = [str(PYTHON), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def pip_install(title: str, arguments: Sequence[str], expected: int, *, may_fail: bool) -> bool:
    """Run pip, show where it is, keep its words in install.log. Raises Problem on failure."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--only-binary", ":all:", "--constraint", str(LOCK)]
    live, started, seen = sys.stdout.isatty(), time.monotonic(), 0
    lines: list[str] = []
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None  # noqa: S101  asked for above
    if not live:
        say(f"{title} ...")
    with process, LOG.open("a", encoding="utf-8") as log:
        for line in process.stdout:
            log.write(line)
            lines.append(line)
            if line.startswith(("Collecting ", "Requirement already satisfied")):
                seen += 1
                state = f"{min(seen, expected)} of {expected}"
            elif line.startswith("Installing collected packages"):
                state = "unpacking, about a minute"
            elif "Retrying" in line or "connection" in line.lower():
                state = "the index does not answer, trying again"
            else:
                continue
            if live:
                print(f"\r\033[K{title}: {state}", end="", flush=True)
    seconds = time.monotonic() - started
    if process.returncode == 0:
        say(f"{chr(13) + chr(27) + '[K' if live else ''}{title}: done in {seconds:.0f} s")
        return True
    if live:
        say("")
    if may_fail:
        return False
    raise Problem(f"{explain(''.join(lines))} The whole log is in {LOG}.")


def install(kind: str) -> None:
    """Bring .venv up to date with pyproject.toml and constraints.txt; quick when it is."""
    index = torch_index(dict(os.environ), platform.system())
    if is_installed(kind, index):
        return
    with one_at_a_time():
        if is_installed(kind, index):
            return
        started = time.monotonic()
        if not read_stamp():
            check_disk(shutil.disk_usage(ROOT).free, NEEDED_BYTES[kind])
        say(f"Installing once into {VENV} (a few minutes; later starts skip this)")
        say("[1/3] Virtual environment")
        make_venv()
        STAMP.unlink(missing_ok=True)
        LOG.write_text("", encoding="utf-8")
        install_torch(index)
        wanted = dependencies(kind)
        locked = sum(1 for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line)
        pip_install("[3/3] Packages", wanted, locked, may_fail=False)
        write_stamp(kind, index)
        say(f"Installed in {time.monotonic() - started:.0f} s.")


def install_torch(index: str) -> None:
    """PyTorch first and alone, so that its index is asked about nothing else."""
    torch = next(name for name in dependencies("runtime") if name.startswith("torch=="))
    title = f"[2/3] PyTorch {torch.partition('==')[2]}"
    if index:
        build = index.rstrip("/").rpartition("/")[2]
        hurry = ["--no-deps", "--retries", "1", "--timeout", "15", "--extra-index-url", index]
        if installed_torch_build() not in ("", build):
            hurry.append("--force-reinstall")  # the version is the same, only the build is not
        if pip_install(f"{title} ({build})", [*hurry, torch], 1, may_fail=True):
            return
        say(f"      {index} gave no PyTorch; pip's own configuration decides")
    pip_install(title, ["--no-deps", torch], 1, may_fail=False)


def installed_torch_build() -> str:
    """The build in .venv, such as "cpu" or "cu130"; empty for none, or one that names none."""
    found = VENV.glob("lib/python*/site-packages/torch-*+*.dist-info")
    return next((path.name.partition("+")[2][: -len(".dist-info")] for path in found), "")


# --------------------------------------------------------------------------------------- running
def environment() -> dict[str, str]:
    environ = dict(os.environ)
    environ["VIRTUAL_ENV"] = str(VENV)
    environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    environ.pop("PYTHONHOME", None)
    return environ


def demo_mode(environ: dict[str, str]) -> dict[str, str]:
    """Where a demo has run and no other installation is set up, commands are about the demo."""
    if environ.get("READERSTUDY_SECRET_KEY") or environ.get("READERSTUDY_SECRET_KEY_FILE"):
        return {}
    data = Path(environ.get("READERSTUDY_DATA_DIR") or ROOT / "var")
    return {"READERSTUDY_DEMO": "1"} if (data / "demo-secret-key").exists() else {}


def become(arguments: Sequence[str], environ: dict[str, str]) -> NoReturn:
    """Replace this process, so that Ctrl-C and exit status are the command's own."""
    sys.stdout.flush()
    os.execve(PYTHON, [str(PYTHON), *arguments], environ)  # noqa: S606  no shell is wanted


def pytest_arguments(extra: Sequence[str], cores: int) -> list[str]:
    """The whole suite runs on all cores (at most four); a chosen part runs as asked."""
    if extra:
        return ["-m", "pytest", *extra]
    workers = min(cores, 4)
    return ["-m", "pytest", "-n", str(workers), "--dist", "loadgroup", "--durations=25"]


VIEWER = "viewer build"
CHECKS: list[tuple[str, list[str]]] = [
    ("formatting", ["ruff", "format", "--check", "."]),
    ("lint", ["ruff", "check", "."]),
    ("templates", ["djlint", "--lint", "--quiet", "templates"]),
    ("types", ["mypy"]),
    ("arrows between the rooms", ["lint-imports"]),
    ("migrations", ["python", "manage.py", "makemigrations", "--check", "--dry-run"]),
    ("deployment", ["python", "manage.py", "check", "--deploy", "--fail-level", "WARNING"]),
    (VIEWER, ["python", "static/viewer/check_dist.py"]),
]


def lint() -> None:
    """Run every check, then say which failed. Raises Problem."""
    failed = []
    for name, command in CHECKS:
        started = time.monotonic()
        say(f"--- {name}")
        environ = production_environment() if "manage.py" in command else environment()
        program = [str(VENV / "bin" / command[0]), *command[1:]]
        status = subprocess.run(program, cwd=ROOT, env=environ, check=False).returncode
        # The viewer is committed as built, so a machine without Node can do without this check.
        without_node = name == VIEWER and status == 2 and not os.environ.get("CI")
        if status != 0 and not without_node:
            failed.append(name)
        verdict = "left out" if without_node else "FAILED" if status else "ok"
        say(f"    {verdict} ({time.monotonic() - started:.1f} s)")
    if failed:
        raise Problem(f"These checks failed: {', '.join(failed)}.")


def production_environment() -> dict[str, str]:
    """What `check --deploy` looks at: the settings of a real installation, with dummy keys."""
    import secrets

    environ = {k: v for k, v in environment().items() if not k.startswith("READERSTUDY_")}
    return environ | {
        "READERSTUDY_SECRET_KEY": secrets.token_urlsafe(64),
        "READERSTUDY_ALLOWED_HOSTS": "study.example.org",
        # Nothing connects: these checks read settings and models only.
        "READERSTUDY_DATABASE_URL": "postgresql://readerstudy@127.0.0.1/readerstudy",
    }


def lock() -> None:
    """Resolve for every supported Python and platform at once, without the CUDA packages."""
    command = [str(PYTHON), "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", "test"]
    command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
    command += ["--no-header", "--no-annotate", "--no-build", "--upgrade", "--quiet"]
    solved = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if solved.returncode != 0:
        raise Problem(f"The versions do not fit together: {solved.stderr.strip()}")
    kept = [line for line in solved.stdout.splitlines() if not line.startswith(GPU_ONLY)]
    beside = LOCK.with_suffix(".part")
    beside.write_text(LOCK_HEADER + "\n".join(kept) + "\n", encoding="utf-8")
    os.replace(beside, LOCK)
    say(f"{LOCK.name}: {len(kept)} packages.")


def main(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        say(__doc__.strip() if __doc__ else "")
        return
    command, extra = arguments[0], list(arguments[1:])
    check_python(sys.version_info[:3], platform.system(), platform.machine())
    if command == "demo":
        install("runtime")
        become([MANAGE, "demo", *extra], environment() | {"READERSTUDY_DEMO": "1"})
    elif command == "manage":
        install("runtime")
        become([MANAGE, *extra], environment() | demo_mode(dict(os.environ)))
    elif command == "test":
        install("test")
        os.chdir(ROOT)
        become(pytest_arguments(extra, os.cpu_count() or 1), environment())
    elif command in ("lint", "ci"):
        install("test")
        lint()
        if command == "ci":
            os.chdir(ROOT)
            become(pytest_arguments(extra, os.cpu_count() or 1), environment())
    elif command == "format":
        install("test")
        subprocess.run(
            [str(PYTHON), "-m", "ruff", "check", "--fix", str(ROOT)], cwd=ROOT, check=False
        )
        become(["-m", "ruff", "format", str(ROOT)], environment())
    elif command == "lock":
        install("test")
        lock()
    elif command == "install":
        install(extra[0] if extra in (["runtime"], ["test"]) else "runtime")
    else:
        raise Problem(f"dev.py has no command {command!r}: `python3 dev.py help` lists them.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Problem as problem:
        sys.exit(f"dev.py: {problem}")
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        where = f" ({problem.filename})" if problem.filename else ""
        sys.exit(
            f"dev.py: {DISK_FULL if full else f'{problem.strerror}{where}: check the permissions.'}"
        )
    except KeyboardInterrupt:
        sys.exit("dev.py: stopped; the same command goes on from here.")
