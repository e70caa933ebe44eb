"""pyproject.toml, constraints.txt and the files around the code say the same."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
LOCK = (ROOT / "constraints.txt").read_text().splitlines()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


LOCKED = {
    normal(line.partition("==")[0]): line.partition("==")[2].partition(";")[0].strip()
    for line in LOCK
    if not line.startswith("#")
}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_dependency_is_locked_to_a_version_it_allows(requirement: str) -> None:
    name, _, wanted = re.split(r"(==|>=)", re.sub(r"\[.*?\]", "", requirement))
    locked = LOCKED[normal(name)]
    if "==" in requirement:
        assert locked == wanted
    else:
        parts = [[int(part) for part in re.findall(r"\d+", v)] for v in (locked, wanted)]
        assert parts[0] >= parts[1]


def test_every_dependency_says_why_it_is_here() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for requirement in REQUIREMENTS:
        (line,) = [line for line in lines if line.strip().startswith(f'"{requirement}"')]
        assert line.partition("#")[2].strip(), f"{requirement} has no reason beside it"


def test_the_lock_brings_no_cuda_packages() -> None:
    assert not [name for name in LOCKED if name.startswith(("nvidia", "cuda", "triton"))]


def test_the_installed_packages_are_the_locked_ones() -> None:
    from importlib.metadata import PackageNotFoundError, version

    different = {}
    for requirement in REQUIREMENTS:
        name = re.split(r"==|>=|\[", requirement)[0]
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            installed = "nothing"
        if installed != LOCKED[normal(name)]:
            different[name] = (installed, LOCKED[normal(name)])
    assert not different, "run `python3 dev.py install test`"


def test_the_licence_is_the_one_that_is_declared() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


@pytest.mark.parametrize(
    "path", ["var/db.sqlite3", ".venv/bin/python", ".env", "static/viewer/node_modules/x.js"]
)
def test_what_is_made_here_is_never_committed(path: str) -> None:
    done = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
    assert done.returncode == 0, f"{path} is not in .gitignore"


def test_ci_script_is_valid_and_executable() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_compose_names_no_secret() -> None:
    import yaml

    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD|SECRET", name) and not name.endswith("_FILE"):
                assert str(value).startswith("${"), f"{name} is written into compose.yaml"


COMMAND = re.compile(r"python3? (?:dev\.py manage|manage\.py) ([a-z_]+)")
DEV_COMMAND = re.compile(r"python3 dev\.py ([a-z]+)")


def documents() -> list[Path]:
    return [path for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if path.exists()]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_O10_commands_in_the_documents_exist(path: Path) -> None:
    from django.core.management import get_commands

    import dev

    text = path.read_text()
    assert sorted(set(COMMAND.findall(text)) - set(get_commands())) == []
    unknown = [n for n in DEV_COMMAND.findall(text) if f"\n    {n}" not in str(dev.__doc__)]
    assert unknown == []


def test_the_deployment_guide_lists_every_setting_and_no_other() -> None:
    sources = [
        ROOT / "readerstudy" / "settings.py",
        ROOT / "readerstudy" / "env.py",
        ROOT / "dev.py",
    ]
    used = set(re.findall(r'"(READERSTUDY_[A-Z_]+)"', "".join(map(Path.read_text, sources))))
    guide = (ROOT / "docs" / "howto-deploy.md").read_text()
    listed = set(re.findall(r"^\| `(READERSTUDY_[A-Z_]+)`", guide, flags=re.MULTILINE))
    assert used - {"READERSTUDY_SECRET_KEY_FILE"} == listed


def without_key(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *words],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "READERSTUDY_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        "check",
        "web",
        "migrate",
        "import_ct scan.nii.gz",
        "synthesize --ct scans --organ liver --out made --queue cpu",
        "segment_organs Chest --organ lung",
    ],
)
def test_settings_fail_closed_without_a_secret_key(words: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = without_key(*words.split(), folder=site)
    assert done.returncode == 2
    assert "READERSTUDY_SECRET_KEY is not set" in done.stderr
    assert "Traceback" not in done.stderr
    assert not site.exists()


def test_what_goes_from_files_to_files_needs_no_site(tmp_path: Path) -> None:
    table = ROOT / "tests" / "analysis" / "data" / "vtt_demo.csv"
    out = tmp_path / "report"
    done = without_key("analyze", str(table), "--out", str(out), folder=tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert (out / "results.json").is_file()
    assert not (tmp_path / "site" / "db.sqlite3").exists()
    assert "--organ-mask" in without_key("import_ct", "--help", folder=tmp_path).stdout
