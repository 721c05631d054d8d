"""Loads open3d only when it is used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from cameo_data.io.parsing import one_line

# System libraries that the wheel links against, and the Debian packages that hold them.
SYSTEM_PACKAGES = {
    "libusb-1.0": "libusb-1.0-0",
    "libGL.so": "libgl1",
    "libX11": "libx11-6",
    "libgomp": "libgomp1",
}


def load_open3d() -> ModuleType:
    """The package ``open3d``.

    Raises:
        ValueError: it, or a system library that it needs, is missing; the message names what to
            install.
    """
    try:
        return import_module("open3d")
    except (ImportError, OSError) as error:
        remedy = "reinstall it: pip install --force-reinstall open3d"
        for library, package in SYSTEM_PACKAGES.items():
            if library in str(error):
                remedy = f"install the system package {package}: apt-get install {package}"
        raise ValueError(f"open3d cannot be loaded ({one_line(error)}); {remedy}") from None
