"""What, beside code and data, a model's bytes depend on."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version

PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow")


def environment(further: Iterable[str] = ()) -> dict[str, str]:
    """Versions and the numeric kernels in use; `further` names packages that this model needs beside the others.

    The same versions on another kind of processor can differ in the last bits: compare `blas`, `simd` and `libc`
    before calling a differing hash an error.
    """
    import scipy.linalg  # noqa: F401  loads its BLAS, so that it is listed
    from threadpoolctl import threadpool_info

    kernels = {f"{lib['internal_api']} {lib['architecture']}" for lib in threadpool_info() if "architecture" in lib}
    features = getattr(import_module("numpy._core._multiarray_umath"), "__cpu_features__", {})
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in (*PACKAGES, *further)},
        "system": platform.system(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "blas": ", ".join(sorted(kernels)),
        "simd": " ".join(sorted(name for name, present in features.items() if present)),
    }
