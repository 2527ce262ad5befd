"""Packaging: what is installed, on which Python, and with which fairseq."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION: dict[str, str] = {}
exec((ROOT / "ednd_nmt" / "version.py").read_text(encoding="utf-8"), VERSION)
README = ROOT / "README.md"

# Both of these distributions provide the package `fairseq`, of which there may only be one. Whoever has their own fairseq
# installs this package with --no-deps. The official release, 0.12.2, asks for an omegaconf that current pips refuse.
LINUX = "platform_system == 'Linux' and platform_machine == 'x86_64'"
WHEELS = f"python_version >= '3.11' and python_version < '3.13' and {LINUX}"
NO_WHEELS = (
    "python_version < '3.11' or python_version >= '3.13' or "  # markers know no negation
    "platform_system != 'Linux' or platform_machine != 'x86_64'"
)
FAIRSEQ = [
    f"ve-fairseq==0.12.3; {WHEELS}",  # the last sources upstream and the two changes that Python 3.11 needs
    f"fairseq-fixed==0.12.3.1; {NO_WHEELS}",  # the same changes to sources of some months before, built on installation
]
# The last Snakemake for Python 3.10 calls a function that pulp has renamed since.
SNAKEMAKE = ["snakemake", "pulp<2.8; python_version < '3.11'"]

setup(
    name="ednd-nmt",
    version=VERSION["__version__"],
    description="Uncertainty in machine translation: ensembles and ensemble distribution distillation for fairseq",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    author="The ednd_nmt developers",
    license="MIT",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["ednd_nmt", "ednd_nmt.*"]),
    package_data={"ednd_nmt": ["py.typed", "*.schema.json"], "ednd_nmt.evaluation.report": ["assets/*"]},
    install_requires=[
        *FAIRSEQ,
        "torch>=2.6",  # the first that loads checkpoints as data by default
        "hydra-core>=1.3.2,<1.4",  # fairseq uses what 1.4 dropped
        "omegaconf>=2.3,<2.4",
        "h5py>=3.8",  # the file of stored targets
        "numpy",
        "sacrebleu>=2,<3",
        "sacremoses",
        "safetensors>=0.4",  # models that are no pickles
        "scikit-learn",
        "scipy",
        "sentencepiece",
    ],
    extras_require={
        # Not locked, and best in an environment of its own: it asks for numpy below 2, and its torchmetrics for the
        # pkg_resources that setuptools 81 dropped.
        "comet": ["unbabel-comet>=2.2,<3", "setuptools<81"],
        "dev": ["hypothesis", "jsonschema", "mpmath", "mypy", "pytest", "pytest-xdist", "ruff"],
        "plots": ["matplotlib"],
        # Not locked: the cluster's Slurm decides.
        "slurm": [*SNAKEMAKE, "snakemake-executor-plugin-slurm>=2"],
        "workflow": [*SNAKEMAKE],
    },
    entry_points={"console_scripts": ["ednd-nmt=ednd_nmt.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
