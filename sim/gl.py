# SPDX-License-Identifier: Apache-2.0
"""The one place that imports mujoco, after the choice of its OpenGL backend.

MuJoCo fixes its backend when it is imported.
Everybody else writes `from .gl import mujoco`. A backend that the user chose with MUJOCO_GL is
kept.

Mesa and Triton each bring an LLVM, and the process crashes when Triton's is loaded second. Where
torch is already loaded, Triton is therefore loaded here; a process that trains must import torch
before this module.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

NO_GL = (
    "no OpenGL to render with: "
    "`apt-get install libegl1 libgl1 libgl1-mesa-dri` or `libosmesa6` mends it"
)
_EGL_PLATFORM_DEVICE = 0x313F
_OFF = "disable"
_TOO_LATE = "mujoco" in sys.modules


def _osmesa_works() -> bool:
    for name in ("libOSMesa.so.8", "libOSMesa.so"):
        with contextlib.suppress(OSError):
            ctypes.CDLL(name)
            return True
    return False


def _egl_works() -> bool:
    """Whether a headless EGL display can be opened, on a GPU or with Mesa's software renderer."""
    try:
        ctypes.CDLL("libGL.so.1")  # PyOpenGL crashes without it
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    pointer = ctypes.c_void_p
    egl.eglGetProcAddress.restype = pointer
    egl.eglInitialize.argtypes = [pointer, pointer, pointer]
    query, display = (
        egl.eglGetProcAddress(b"eglQueryDevicesEXT"),
        egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT"),
    )
    if not query or not display:
        return False
    devices, count = (pointer * 16)(), ctypes.c_int(0)
    ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, pointer, pointer)(query)(
        16, devices, ctypes.byref(count)
    )
    open_display = ctypes.CFUNCTYPE(pointer, ctypes.c_int, pointer, pointer)(display)
    displays = [
        open_display(_EGL_PLATFORM_DEVICE, device, None) for device in devices[: count.value]
    ]
    return any(found and egl.eglInitialize(found, None, None) for found in displays)


def _choose() -> str:
    if "torch" in sys.modules:
        with contextlib.suppress(ImportError):
            import triton  # noqa: F401
    if _egl_works():
        return "egl"
    return "osmesa" if _osmesa_works() else _OFF


_wanted = os.environ.get("MUJOCO_GL")
_problem = f"MUJOCO_GL={_wanted}: " if _wanted else ""
os.environ["MUJOCO_GL"] = _wanted or _choose()

try:
    import mujoco
# what its backends raise at import
except (AttributeError, ImportError, OSError, RuntimeError) as error:
    _problem += f"{error}; "
    os.environ["MUJOCO_GL"] = _OFF  # physics needs none
    import mujoco


def make_renderer(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    """A renderer for images of this size. Close it in the thread that made it.

    Raises RuntimeError without OpenGL.
    """
    if os.environ["MUJOCO_GL"] == _OFF:
        raise RuntimeError(_problem + NO_GL)
    model.vis.global_.offheight, model.vis.global_.offwidth = height, width
    try:
        return mujoco.Renderer(model, height, width, max_geom=400)
    except Exception as error:  # each backend has exceptions of its own
        cure = "import cosmos3_ros.sim.gl before mujoco" if _TOO_LATE else NO_GL
        raise RuntimeError(f"{_problem}{error}; {cure}") from error


__all__ = ["NO_GL", "make_renderer", "mujoco"]
