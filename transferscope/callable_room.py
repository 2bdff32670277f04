"""Folders that can be called, and whose functions win over the files of the same name.

``ts.report(...)`` and ``ts.report.html`` both work; ``from transferscope.scorers import logme`` is the function,
though it lives in ``scorers/logme.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(module_name: str, function: Callable[..., Any]) -> None:
    """Make calls to the module `module_name` go to `function`, with its signature."""
    module = sys.modules[module_name]

    class CallableRoom(type(module)):  # type: ignore[misc]
        __wrapped__ = staticmethod(function)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    module.__class__ = CallableRoom


def prefer_functions(module_name: str) -> None:
    """When Python binds a submodule to the module `module_name`, bind its function of that name, if it has one."""
    module = sys.modules[module_name]

    class FunctionsFirst(type(module)):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            if isinstance(value, ModuleType) and callable(value.__dict__.get(name)):
                value = value.__dict__[name]
            super().__setattr__(name, value)

    module.__class__ = FunctionsFirst
