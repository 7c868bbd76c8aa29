"""Builds the compiled core (engine_core/, imported as tocsin_core); everything else is in pyproject.toml."""
import os
import shutil
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = Path("engine_core")
SANITIZE = os.environ.get("TOCSIN_SANITIZE", "")  # "address" or "thread": see ci/sanitize

compile_args = ["-std=c++17", "-O3", "-fno-strict-aliasing", "-Wno-unused-function"]
link_args: list[str] = []
if os.name == "nt":
    compile_args = ["/std:c++17", "/O2"]
if SANITIZE:
    compile_args += [f"-fsanitize={SANITIZE}", "-g", "-fno-omit-frame-pointer"]
    link_args += [f"-fsanitize={SANITIZE}"]

# Cython finds `from .column cimport ...` by package name, and the package's folder is called otherwise
# (DESIGN: engine_core/ is imported as tocsin_core): give it a mirror of the declarations under that name.
MIRROR = Path("build/cython/tocsin_core")
MIRROR.mkdir(parents=True, exist_ok=True)
for stale in {p.name for p in MIRROR.glob("*.pxd")} - {p.name for p in CORE.glob("*.pxd")}:
    (MIRROR / stale).unlink()
for declaration in [CORE / "__init__.py", *CORE.glob("*.pxd")]:
    shutil.copy2(declaration, MIRROR / declaration.name)

extensions = [
    Extension(
        f"tocsin_core.{source.stem}",
        [str(source)],
        include_dirs=[str(CORE)],
        language="c++",
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        depends=[str(p) for p in sorted(CORE.glob("*.h")) + sorted(CORE.glob("*.hpp"))],
    )
    for source in sorted(CORE.glob("*.pyx"))
]
setup(
    ext_modules=cythonize(
        extensions,
        include_path=[str(MIRROR.parent)],
        nthreads=os.cpu_count() or 1,
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
)
