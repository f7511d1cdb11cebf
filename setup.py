"""Build of pyvs: Cython extensions, the packages and the commands.

`pip install .` uses it as any project's.  `make build` runs it in the work tree:
`setup.py build_ext --inplace` leaves the extensions beside their sources, and
`setup.py inplace` makes the tree importable in this interpreter and its commands
runnable, without a copy.

Environment:
    PYVS_DEBUG=1   bounds checks, assertions (PYVS_DEBUG defined in C), no optimisation
    PYVS_SANITIZE=1  the same with AddressSanitizer and UBSan, which stop the process at a fault;
                   to be run as docs/sanitizers.md says
    PYVS_ONLY=a,b  build only the extensions of these packages
    PYVS_MARCH=x   value of -march (default: the compiler's own, so that a build runs anywhere)
"""

import os
import sys
import sysconfig
from glob import glob
from pathlib import Path

from setuptools import Command, Extension, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
DEBUG = os.environ.get("PYVS_DEBUG") == "1"
SANITIZE = os.environ.get("PYVS_SANITIZE") == "1"
ONLY = [name for name in os.environ.get("PYVS_ONLY", "").split(",") if name]

# import name -> folder
PACKAGES = {
    "pyvs": "pyvs",
    "datapath": "datapath",
    "ofproto": "ofproto",
    "ovsdb": "ovsdb",
    "vswitchd": "vswitchd",
    "pyvs_tools": "tools",
    "containers": "containers",
}
COMPILED = ("datapath", "ofproto", "ovsdb", "pyvs")
# Modules that are Python as they stand, and compiled because every transaction or message passes
# through them; the .pxd beside one says which of its classes and functions become C.
COMPILED_PYTHON = {
    "ovsdb": (
        "data/condition",
        "data/database",
        "data/datum",
        "data/errors",
        "data/schema",
        "transactions/mutation",
        "transactions/operations",
        "transactions/rbac",
        "transactions/transaction",
        "storage/files",
        "storage/log",
        "storage/records",
        "serving/monitor",
        "serving/rpc",
        "serving/server",
        "serving/service",
        "serving/session",
    ),
    # What the flows of a dump pass.
    "datapath": ("ipc/protocol",),
    # What each message of a controller passes, and each turn of the loop.
    "ofproto": (
        "async_messages",
        "flows/backer",
        "flows/barriers",
        "handlers",
        "ofproto",
        "peers/connection",
        "peers/connmgr",
        "peers/flow_mod_report",
        "peers/peer",
        "peers/turns",
        "tables/flow_log",
        "tables/journal",
    ),
    "pyvs": ("clock", "containment", "coverage", "streams/framing", "streams/json_text"),
}

# `alignment`: x86 reads any; `function`, `vptr`: of C++.  What is found ends the process.
SANITIZERS = (
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-fno-sanitize=alignment",
)

# command -> module:function
COMMANDS = {
    "pyvs-ovsdb-server": "ovsdb.main:main",
    "pyvs-datapath": "datapath.main:main",
    "pyvs-vswitchd": "vswitchd.main:main",
    "pyvs-vsctl": "pyvs_tools.vsctl.main:main",
    "pyvs-ofctl": "pyvs_tools.ofctl.main:main",
    "pyvs-dpctl": "pyvs_tools.dpctl.main:main",
    "pyvs-appctl": "pyvs_tools.appctl:main",
    "pyvs-ovsdb-tool": "pyvs_tools.ovsdb.tool:main",
    "pyvs-ovsdb-client": "pyvs_tools.ovsdb.client:main",
    "pyvs-ctl": "pyvs_tools.ctl.main:main",
    "pyvs-exporter": "pyvs_tools.exporter.main:main",
    "pyvs-top": "pyvs_tools.top.main:main",
    "pyvs-tcpdump": "pyvs_tools.tcpdump:main",
    "pyvs-docker": "containers.ovs_docker:main",
    "pyvs-cni": "containers.cni.main:main",
    "pyvs-netavark": "containers.netavark:main",
    "pyvs-docker-driver": "containers.driver.main:main",
}

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG or SANITIZE,
    "wraparound": False,
    "initializedcheck": DEBUG or SANITIZE,
    "cdivision": True,
    "overflowcheck": False,
    "embedsignature": True,
    "binding": True,
}


# Python's own behaviour; annotations stay what they are in Python: without effect.
PYTHON_DIRECTIVES = {
    "language_level": "3",
    "annotation_typing": False,
    "nonecheck": True,
    "binding": True,
}


def version():
    scope = {}
    exec((ROOT / "pyvs" / "version.py").read_text(), scope)
    return scope["VERSION"]


def rooms(folder):
    """The packages below a folder, as suffixes of its import name."""
    found = (path.parent.relative_to(folder) for path in Path(folder).glob("*/**/__init__.py"))
    return [f".{'.'.join(room.parts)}" for room in sorted(found)]


def extension(package, source, flags):
    module = Path(source).with_suffix("").relative_to(PACKAGES[package])
    return Extension(
        ".".join((package, *module.parts)),
        [source],
        extra_compile_args=[*flags, "-fno-strict-aliasing", "-Wno-unreachable-code"],
        depends=glob("datapath/**/*.h", recursive=True),
        include_dirs=["."],
        extra_link_args=list(SANITIZERS) if SANITIZE else [],
    )


def native_test(source, flags):
    made = extension("datapath", "datapath/engine.pyx", flags)
    made.name = "tests.native." + Path(source).stem
    made.sources = [source]
    return made


def extensions():
    flags = ["-O0", "-g", "-DPYVS_DEBUG=1"] if DEBUG else ["-O2", "-g0"]
    if SANITIZE:
        flags = ["-O1", "-g", "-DPYVS_DEBUG=1", *SANITIZERS]
    if os.environ.get("PYVS_MARCH"):
        flags.append("-march=" + os.environ["PYVS_MARCH"])
    compiled = [
        extension(package, source, flags)
        for package in COMPILED
        if not ONLY or package in ONLY
        for source in sorted(glob(f"{package}/**/*.pyx", recursive=True))
    ]
    if "--inplace" in sys.argv:  # what tests and benchmarks need is not installed
        compiled += [native_test(source, flags) for source in sorted(glob("tests/native/*.pyx"))]
    python = [
        extension(package, f"{package}/{name}.py", flags)
        for package, names in COMPILED_PYTHON.items()
        if not ONLY or package in ONLY
        for name in names
    ]
    return cythonized(compiled, DIRECTIVES) + cythonized(python, PYTHON_DIRECTIVES)


def cythonized(found, directives):
    if not found:
        return []
    from Cython.Build import cythonize

    return cythonize(
        found,
        compiler_directives=directives,
        build_dir="build/sanitize" if SANITIZE else "build/debug" if DEBUG else "build/cython",
        nthreads=os.cpu_count() or 0,
    )


class Inplace(Command):
    """Make this work tree importable and its commands runnable in the running interpreter."""

    description = "link the work tree and its commands into this interpreter"
    user_options = []

    def initialize_options(self):
        pass

    def finalize_options(self):
        pass

    def run(self):
        self.drop_orphans()
        site = Path(sysconfig.get_path("purelib"))
        (site / "pyvs-inplace.pth").write_text(f"{ROOT.resolve()}\n")
        link = site / "pyvs_tools"
        if link.is_symlink():
            link.unlink()
        link.symlink_to((ROOT / "tools").resolve())
        for command, target in COMMANDS.items():
            module, function = target.split(":")
            script = Path(sysconfig.get_path("scripts")) / command
            script.write_text(
                f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\n"
                f"sys.exit({function}())\n"
            )
            script.chmod(0o755)

    def drop_orphans(self):
        """An extension whose source has gone would be taken for the Python module of its name."""
        kept = {extension.name for extension in self.distribution.ext_modules}
        for package in () if ONLY else COMPILED:
            for path in Path(package).rglob("*.so"):
                if ".".join((*path.parent.parts, path.name.partition(".")[0])) not in kept:
                    path.unlink()


class BuildPy(build_py):
    """Declarations (.pxd, .pyi), the C header and data files go with their packages."""

    def finalize_options(self):
        super().finalize_options()
        self.package_data = {"": ["*.pxd", "*.pyi", "*.h", "*.ovsschema"]}


setup(
    name="pyvs",
    version=version(),
    description="A userspace OpenFlow virtual switch for Linux, in Python and Cython",
    long_description=(ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        package + suffix for package, folder in PACKAGES.items() for suffix in ("", *rooms(folder))
    ],
    package_dir=PACKAGES,
    ext_modules=extensions(),
    data_files=[("share/bash-completion/completions", ["tools/vsctl/pyvs-vsctl.bash"])],
    install_requires=(ROOT / "requirements.txt").read_text().split(),
    entry_points={
        "console_scripts": [f"{command} = {target}" for command, target in COMMANDS.items()]
    },
    cmdclass={"inplace": Inplace, "build_py": BuildPy},
)
