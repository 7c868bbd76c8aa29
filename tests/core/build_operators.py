"""build_operators.py FOLDER NAME: builds FOLDER/NAME.pyx, a copy of the one here, as the module tocsin_test_NAME."""

from __future__ import annotations

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parents[2]


def main(target: str, name: str) -> None:
    extension = Extension(
        f"tocsin_test_{name}", [str(Path(target) / f"{name}.pyx")], include_dirs=[str(ROOT / "engine_core")],
        language="c++", extra_compile_args=["-std=c++17", "-O1"],
    )  # fmt: skip
    # setup.py has put the declarations of the core there under its import name.
    modules = cythonize(
        [extension],
        include_path=[str(ROOT / "build/cython/declarations")],
        # As the core's (setup.py): else its import would switch the GIL on in a Python without one.
        compiler_directives={"language_level": 3, "freethreading_compatible": True},
    )
    setup(script_args=["-q", "build_ext", "--build-lib", target, "--build-temp", target], ext_modules=modules)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
