"""Builds the compiled core (engine_core/, imported as tocsin_core); everything else is in pyproject.toml.

One extension per .pyx. Generated C++ lies under build/, never beside the sources, and is made anew only for
a module whose .pyx, cimported .pxd or included headers changed; the changed ones are compiled in parallel.

    python setup.py build_ext --inplace         the core of a working tree (what `make` does)
    TOCSIN_SANITIZE=address,undefined ...       an instrumented core: see ci/sanitize
    TOCSIN_CORE=in-place pip install -e .       Python only, as ci/env.py does it after an in-place build:
                                                else an editable install compiles all of the core once more
"""

import os
import re
import shutil
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

CORE = Path("engine_core")
GENERATED = Path("build/cython")
SANITIZE = os.environ.get("TOCSIN_SANITIZE", "")
JOBS = os.cpu_count() or 1

if os.name == "nt":
    compile_args, link_args = ["/std:c++17", "/O2", "/fp:precise"], []
else:
    # No -ffast-math and its kin: NaN, infinities and signed zero follow IEEE 754 in conditions.
    compile_args = [
        "-std=c++17",
        "-O3",
        "-fno-strict-aliasing",
        "-fvisibility=hidden",
        "-Wno-unused-function",
    ]
    link_args = []
if SANITIZE:
    compile_args += [f"-fsanitize={SANITIZE}", "-O1", "-g", "-fno-omit-frame-pointer"]
    link_args += [f"-fsanitize={SANITIZE}"]


def mirror_declarations() -> Path:
    """Copies the .pxd files to a folder that has the package's name, and returns the folder above it.

    Cython resolves `from .column cimport ...` by the name of the package, which is tocsin_core, while the
    folder is called engine_core. Times are kept, so an unchanged file triggers no compilation.
    """
    mirror = GENERATED / "declarations" / "tocsin_core"
    mirror.mkdir(parents=True, exist_ok=True)
    wanted = [CORE / "__init__.py", *CORE.glob("*.pxd")]
    for stale in {p.name for p in mirror.iterdir()} - {p.name for p in wanted}:
        (mirror / stale).unlink()
    for declaration in wanted:
        copy = mirror / declaration.name
        if not copy.exists() or copy.stat().st_mtime_ns != declaration.stat().st_mtime_ns:
            shutil.copy2(declaration, copy)
    return mirror.parent


def headers_of(source: Path, seen: set[Path] | None = None) -> set[Path]:
    """The files of engine_core/ that `source` reaches by cimport, cdef extern or #include, at any depth."""
    seen = set() if seen is None else seen
    text = source.read_text(encoding="utf-8")
    names = {f"{m}.pxd" for m in re.findall(r"^\s*from\s+(?:\.|tocsin_core\.)(\w+)\s+cimport", text, re.M)}
    names |= {f"{m}.pxd" for m in re.findall(r"^\s*cimport\s+tocsin_core\.(\w+)", text, re.M)}
    names |= set(re.findall(r"^\s*cdef\s+extern\s+from\s+[\"']([^\"'<>]+)[\"']", text, re.M))
    names |= set(re.findall(r"^\s*#\s*include\s+\"([^\"]+)\"", text, re.M))
    if source.suffix == ".pyx":
        names.add(f"{source.stem}.pxd")
    for header in (CORE / name for name in names):
        if header.is_file() and header not in seen:
            seen.add(header)
            headers_of(header, seen)
    return seen


def generated_is_older_than_setup() -> bool:
    """Directives live in this file, and Cython does not look at them when it decides what is up to date."""
    changed = Path("setup.py").stat().st_mtime_ns
    return any(p.stat().st_mtime_ns < changed for p in (GENERATED / CORE).glob("*.cpp"))


# The guard is for processes that Cython starts by "spawn" or "forkserver": they import this file again.
if __name__ == "__main__":
    declarations = mirror_declarations()
    extensions = [
        Extension(
            f"tocsin_core.{source.stem}",
            [str(source)],
            include_dirs=[str(CORE)],
            language="c++",
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            depends=sorted(str(p) for p in headers_of(source)),
        )
        for source in sorted(CORE.glob("*.pyx"))
        if os.environ.get("TOCSIN_CORE") != "in-place"
    ]
    setup(
        packages=["tocsin_core", *find_packages("python")],
        ext_modules=cythonize(
            extensions,
            build_dir=str(GENERATED),
            include_path=[str(declarations)],
            nthreads=JOBS,
            force=generated_is_older_than_setup(),
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "initializedcheck": False,
                "cdivision": True,
                "embedsignature": True,
                "binding": True,
                "freethreading_compatible": True,
            },
        ),
        options={"build_ext": {"parallel": JOBS}},
    )
