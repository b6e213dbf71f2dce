"""Methods from outside the package: a file of one's own, or an installed package's entry point.

A plug-in that cannot be used is an error that names its file and line, never a silent absence.
"""

import dataclasses
import importlib.util
import inspect
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from benchmark.errors import InputError
from benchmark.methods.base import Method
from benchmark.schema import METHOD_GROUP, NAME_PATTERN


def load_file(path: Path) -> tuple[str, type[Method]]:
    """The method of a Python file, under the file's name.

    Raises:
        InputError: for a file that is missing, misnamed, fails on import or does not hold exactly one usable method;
            with its line.
    """
    if not path.is_file():
        raise InputError(f"--plugin {path}: no such file; name a Python file with one Method in it")
    if not NAME_PATTERN.fullmatch(path.stem):
        raise InputError(f"--plugin {path}: file names must match {NAME_PATTERN.pattern}; rename it")
    module_name = f"benchmark_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"--plugin {path}: not a Python file; name one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # the annotations of its dataclass are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise InputError(f"{_line_of(error, path)}: {type(error).__name__}: {error}. Mend the plug-in") from error
    return path.stem, only_method(module)


def installed() -> dict[str, type[Method]]:
    """Methods that installed packages offer as entry points of the group `benchmark.methods`.

    Raises:
        InputError: for one that cannot be loaded or used; with package, file and line.
    """
    return {
        entry.name: _load(entry) for entry in sorted(entry_points(group=METHOD_GROUP), key=lambda entry: entry.name)
    }


def only_method(module: ModuleType) -> type[Method]:
    """The one method a module defines, checked for what listing and making it needs.

    Raises:
        InputError: with file and line.
    """
    own = [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, Method) and cls.__module__ == module.__name__ and not cls.__name__.startswith("_")
    ]
    if len(own) != 1:
        names = f" ({', '.join(cls.__name__ for cls in own)})" if own else ""
        where = _place(own[-1]) if own else f"{module.__file__}:1"
        raise InputError(f"{where}: expected one Method subclass, found {len(own)}{names}; a file holds one method")
    return checked(own[0])


def checked(cls: type[Method]) -> type[Method]:
    """The class itself.

    Raises:
        InputError: with file and line, if an abstract method, `@parameters` or a description is missing.
    """
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise InputError(f"{_place(cls)}: {cls.__name__} lacks {', '.join(missing)}; define it")
    if "__pydantic_validator__" not in vars(cls):
        raise InputError(f"{_place(cls)}: {cls.__name__} is not decorated with @parameters; add it")
    if missing := [name for name in ("title", "paper", "year", "family") if not hasattr(cls, name)]:
        raise InputError(f"{_place(cls)}: {cls.__name__} lacks {', '.join(missing)}; add them as ClassVars")
    required = [field.name for field in dataclasses.fields(cls) if _has_no_default(field)]  # type: ignore[arg-type]
    if required:
        raise InputError(f"{_place(cls)}: parameters without a default: {', '.join(required)}; give them one")
    return cls


def source_file(cls: type[Method]) -> Path:
    """The file that defines a method."""
    return Path(inspect.getfile(cls))


def _load(entry: EntryPoint) -> type[Method]:
    package = entry.dist.name if entry.dist else "unknown"
    origin = f"entry point {entry.name} = {entry.value} of package {package}"
    if not NAME_PATTERN.fullmatch(entry.name):
        raise InputError(f"{origin}: names must match {NAME_PATTERN.pattern}; mend or uninstall the package")
    try:
        cls = entry.load()
    except Exception as error:
        raise InputError(
            f"{origin}: {_line_of(error, None)}: {type(error).__name__}: {error}. Mend or uninstall the package"
        ) from error
    if not (inspect.isclass(cls) and issubclass(cls, Method)):
        raise InputError(f"{origin}: expected a Method subclass, found {cls!r}; mend or uninstall the package")
    return checked(cls)


def _line_of(error: Exception, path: Path | None) -> str:
    """`file:line` of an error: in `path` where it passed through there, else where it was raised."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is not None and Path(frame.filename) == path]
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}"


def _place(cls: type[Method]) -> str:
    return f"{inspect.getfile(cls)}:{inspect.getsourcelines(cls)[1]}"


def _has_no_default(field: "dataclasses.Field[object]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
