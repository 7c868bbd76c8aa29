#!/usr/bin/env python3
"""Builds the sdist and, from it, a wheel for each Python wanted; repairs and tries them: `make wheel`.

    sdist ─ python -m build ─▶ wheel ─ auditwheel repair ─▶ clean environment ─ ci/smoke.py ─▶ wheelhouse/

The Pythons wanted are 3.11, 3.12 and 3.13, or those given: `make wheel ARGS="3.12 3.14"`. They are looked for
on the PATH, among pyenv's versions and with uv; one that this machine lacks is named at the end, and is no
failure unless none is found. A wheel is tried in a new environment and an empty folder, so that nothing of
the working tree can help it. The platform tag is the lowest that the wheel can carry when linked against this
machine's libraries; the wheels that are published come from cibuildwheel's images ([tool.cibuildwheel]).
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEELHOUSE = ROOT / "wheelhouse"
WANTED = ["3.11", "3.12", "3.13"]


def run(*command: object, cwd: Path | None = None) -> str:
    """Runs a step; its output is returned, or printed if it fails."""
    texts = [str(part) for part in command]
    done = subprocess.run(
        texts, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nwheel: failed: {' '.join(texts)}")
    return done.stdout


def candidates(version: str) -> list[Path]:
    """Where a Python of that version may be, best first."""
    found = [Path(sys.executable)]
    if on_path := shutil.which(f"python{version}"):
        found.append(Path(on_path))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found += sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    if uv := shutil.which("uv"):
        find = [uv, "python", "find", "--no-project", version]
        done = subprocess.run(find, capture_output=True, text=True, check=False)
        found += [Path(done.stdout.strip())] if done.returncode == 0 else []
    return found


def interpreter(version: str) -> Path | None:
    """A Python of that version which starts, can make environments, and has its headers."""
    probe = (
        "import os, sys, sysconfig, venv, ensurepip;"
        "assert os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h'));"
        "print('%d.%d' % sys.version_info[:2])"
    )
    for path in candidates(version):
        # A pyenv shim on the PATH exists for versions that are not enabled: it must really run.
        done = subprocess.run([path, "-I", "-c", probe], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return path
    return None


def build_sdist(folder: Path) -> Path:
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT)
    return next(folder.glob("*.tar.gz"))


def build_wheel(python: Path, sdist: Path, folder: Path) -> Path:
    """The wheel of one Python, from the unpacked sdist: never from the working tree, where old builds lie."""
    run(python, "-m", "venv", folder / "build-env")
    tool = folder / "build-env" / "bin" / "python"
    run(tool, "-m", "pip", "install", "--quiet", "build")
    shutil.unpack_archive(sdist, folder / "unpacked")
    source = next((folder / "unpacked").iterdir())
    run(tool, "-m", "build", "--wheel", "--outdir", folder / "raw", source)
    return next((folder / "raw").glob("*.whl"))


def repair(wheel: Path, folder: Path) -> Path:
    """Gives the wheel its platform tag; off Linux, as it is."""
    if not sys.platform.startswith("linux"):
        return Path(shutil.copy(wheel, folder))
    output = folder / "repaired"
    run(sys.executable, "-m", "auditwheel", "repair", "--strip", "--wheel-dir", output, wheel)
    return next(output.glob("*.whl"))


def smoke_test(python: Path, wheel: Path, folder: Path) -> str:
    """Installs the wheel, with what it needs from the index, and runs ci/smoke.py in an empty folder."""
    run(python, "-m", "venv", folder / "clean-env")
    tool = folder / "clean-env" / "bin" / "python"
    run(tool, "-m", "pip", "install", "--quiet", wheel)
    empty = folder / "empty"
    empty.mkdir()
    smoke = shutil.copy(ROOT / "ci" / "smoke.py", folder / "smoke.py")
    return run(tool, "-I", smoke, cwd=empty)


def main(versions: list[str]) -> None:
    WHEELHOUSE.mkdir(exist_ok=True)
    for old in WHEELHOUSE.glob("tocsin-*"):
        old.unlink()
    missing, made = [], []
    with tempfile.TemporaryDirectory(prefix="tocsin-wheel-") as name:
        base = Path(name)
        sdist = Path(shutil.copy(build_sdist(base), WHEELHOUSE))
        print(f"sdist  {sdist.name}  {sdist.stat().st_size / 1024:,.0f} KiB", flush=True)
        for version in versions:
            python = interpreter(version)
            if python is None:
                missing.append(version)
                continue
            folder = base / version
            folder.mkdir()
            wheel = repair(build_wheel(python, sdist, folder), folder)
            report = smoke_test(python, wheel, folder)
            shutil.copy(wheel, WHEELHOUSE)
            made.append(version)
            print(f"wheel  {wheel.name}  {wheel.stat().st_size / 1024:,.0f} KiB", flush=True)
            print("".join(f"         {line}\n" for line in report.splitlines()), end="", flush=True)
    if missing:
        print(f"not on this machine, so not built: Python {', '.join(missing)}")
    if not made:
        sys.exit("wheel: no wanted Python was found")
    print(f"wheelhouse/: sdist and wheels for Python {', '.join(made)}, each tried in a clean environment")


if __name__ == "__main__":
    main(sys.argv[1:] or WANTED)
