#!/usr/bin/env python3
"""Makes the virtual environment of the working tree ready for one job, and builds the core in it.

    python3 ci/env.py test          packages of the extra "test", tocsin itself (editable), the core, PostgreSQL
    python3 ci/env.py --path        prints the environment's folder

The environment lies in .venv-make (TOCSIN_VENV names another folder), so it never meets one of yours. What
was done is remembered in <venv>/tocsin-stamps/: packages are installed again only if pyproject.toml asks for
others, the core is built again only if a file of it changed. When nothing changed: 0.1 s and no network.

Only the standard library, and only syntax that an old Python 3 reads: it must live long enough to say that it
is old.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.environ.get("TOCSIN_VENV") or os.path.join(ROOT, ".venv-make")
STAMPS = os.path.join(VENV, "tocsin-stamps")
BIN = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin")
PYTHON = os.path.join(BIN, "python.exe" if os.name == "nt" else "python")
OLDEST = (3, 11)


def fail(text):
    sys.stderr.write("tocsin: " + text + "\n")
    raise SystemExit(2)


def check_machine():
    """One clear line for what a fresh machine may lack."""
    if sys.version_info < OLDEST:
        found = [n for n in ("python3.13", "python3.12", "python3.11", "python3.14") if shutil.which(n)]
        found = [n for n in found if subprocess.call([n, "-c", ""], stderr=subprocess.DEVNULL) == 0]
        hint = "PYTHON=" + (found[0] if found else "/path/to/a/newer/python3")
        version = "%d.%d" % sys.version_info[:2]
        fail("Python 3.11 or newer is needed, %s is %s; try: make %s" % (sys.executable, version, hint))
    compiler = (os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++").split()[0]
    if os.name != "nt" and not shutil.which(compiler):
        fail("no C++ compiler: %r is not on the PATH (Debian: apt install g++; or set CXX)" % compiler)
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    if not os.path.exists(header):
        fail("Python.h of %s is missing at %s (Debian: apt install python3-dev)" % (sys.executable, header))
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        fail("%s has no venv module (Debian: apt install python3-venv)" % sys.executable)


def fingerprint(paths, *facts):
    """A hash over the contents of files, and over any facts besides."""
    total = hashlib.sha256(json.dumps(facts).encode())
    for path in sorted(paths):
        total.update(path.encode() + b"\0")
        with open(os.path.join(ROOT, path), "rb") as file:
            total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()


def is_done(name, value):
    try:
        with open(os.path.join(STAMPS, name)) as file:
            return file.read() == value
    except OSError:
        return False


def mark_done(name, value):
    os.makedirs(STAMPS, exist_ok=True)
    with open(os.path.join(STAMPS, name), "w") as file:
        file.write(value)


def run(what, command, **environment):
    """Runs a step; its output is shown only if it fails."""
    env = dict(os.environ, **environment)
    started = time.time()
    sys.stderr.write("tocsin: %s ...\n" % what)
    with tempfile.TemporaryFile() as output:
        if subprocess.call(command, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT):
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            fail("%s failed: see above. The command was: %s" % (what, " ".join(command)))
    sys.stderr.write("tocsin: %s: %.1f s\n" % (what, time.time() - started))


def pip(*arguments):
    return [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"] + list(arguments)


def make_venv():
    """Creates the environment, or makes it anew when it belongs to another Python."""
    value = fingerprint([], sys.version, os.path.realpath(sys.executable))
    if is_done("python", value) and os.path.exists(PYTHON):
        return
    if os.path.exists(VENV) and not os.path.exists(os.path.join(VENV, "pyvenv.cfg")):
        fail("%s exists and is no virtual environment: move it away, or set TOCSIN_VENV" % VENV)
    run("virtual environment in %s" % VENV, [sys.executable, "-m", "venv", "--clear", VENV])
    mark_done("python", value)


def read_project():
    import tomllib  # since 3.11, which check_machine has made sure of

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        return tomllib.load(file)


def install_build_requirements(project):
    """What setup.py imports."""
    needed = project["build-system"]["requires"]
    value = fingerprint([], needed)
    if not is_done("build-requires", value):
        run("build requirements", pip(*needed))
        mark_done("build-requires", value)


def install(project, extra):
    """Installs the extra's packages, and tocsin itself as an editable package."""
    extras = project["project"]["optional-dependencies"]
    if extra and extra not in extras:
        fail("pyproject.toml has no extra %r; it has %s" % (extra, ", ".join(sorted(extras))))
    folders = sorted(os.listdir(os.path.join(ROOT, "python")))  # what the editable install points to
    layout = [project["project"], project["tool"]["setuptools"], folders]
    value = fingerprint([], layout)
    if is_done("extra-" + extra, value):
        return
    # No isolation: setup.py runs on what is installed here.
    command = pip("--no-build-isolation", "--editable", ".[%s]" % extra if extra else ".")
    run("packages for %r" % (extra or "tocsin"), command, TOCSIN_CORE="in-place")
    mark_done("extra-" + extra, value)


def install_postgres():
    """The server that tests of syncs start. Where it is missing and cannot be had, they are skipped and say so."""
    debian = "/usr/lib/postgresql"
    versions = os.listdir(debian) if os.path.isdir(debian) else []
    there = any(os.path.exists(os.path.join(debian, v, "bin", "initdb")) for v in versions)
    if there or shutil.which("initdb") or not shutil.which("apt-get") or is_done("postgres", "none"):
        return
    root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    sys.stderr.write("tocsin: Debian's postgresql ...\n")
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", "postgresql"],
    ):
        try:
            done = subprocess.run(root + command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            failed, output = done.returncode != 0, done.stdout.decode(errors="replace")
        except OSError as missing:
            failed, output = True, str(missing)
        if failed and command[1] == "install":
            sys.stderr.write(output)
            sys.stderr.write(
                "tocsin: no PostgreSQL: tests that need it are skipped (apt-get install postgresql)\n"
            )
            mark_done("postgres", "none")  # not again before the environment is made anew


def build_core():
    """Compiles in place what changed since the last time; a missing module counts as a change."""
    core = os.path.join(ROOT, "engine_core")
    sources = [n for n in os.listdir(core) if n.endswith((".pyx", ".pxd", ".h", ".hpp"))]
    value = fingerprint([os.path.join("engine_core", n) for n in sources] + ["setup.py"])
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    there = all(os.path.exists(os.path.join(core, n[:-4] + suffix)) for n in sources if n.endswith(".pyx"))
    if there and is_done("core", value):
        return
    for name in os.listdir(core):
        if name.endswith(suffix) and name[: -len(suffix)] + ".pyx" not in sources:
            os.remove(os.path.join(core, name))  # its source is gone: it must not be imported any more
    run("core", [PYTHON, "setup.py", "--quiet", "build_ext", "--inplace"])
    mark_done("core", value)


def main(arguments):
    if arguments == ["--path"]:
        print(VENV)
        return
    check_machine()
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    with open(os.path.join(ROOT, "build", "env.lock"), "w") as lock:
        if os.name != "nt":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once: the second waits
        project = read_project()
        make_venv()
        install_build_requirements(project)
        build_core()
        install(project, arguments[0] if arguments else "")
        if arguments == ["test"]:
            install_postgres()


if __name__ == "__main__":
    main(sys.argv[1:])
