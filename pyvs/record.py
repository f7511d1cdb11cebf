"""Classes that are a row of named values: dataclasses for programs that have to begin at once.

The standard library's decorator reads `inspect` and compiles three functions for each class before
there is an object of it, which was half of a command that sends one message.  Here __init__ is
compiled for the first object, and what compares and prints goes by the names.  Meaning is that of
`dataclass(slots=True)`: values in the order of their annotations, those of the base class first.
"""

from operator import attrgetter
from typing import Any, NamedTuple

MISSING: Any = object()


class Field(NamedTuple):
    """One of a record's values, as field() describes it."""

    name: str = ""
    default: Any = MISSING
    factory: Any = MISSING
    compare: bool = True
    repr: bool = True
    kw_only: bool = False


def field(
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    compare: bool = True,
    repr: bool = True,
    kw_only: bool = False,
) -> Any:
    """As `dataclasses.field`."""
    return Field("", default, default_factory, compare, repr, kw_only)


def record(cls: type) -> Any:
    """The class with slots, __init__, __eq__ and __repr__; objects of it have no hash."""
    known = {each.name: each for base in cls.__mro__[:0:-1] for each in fields(base)}
    own = dict(_own_fields(cls))
    described = (known | own).values()
    namespace = {
        name: value
        for name, value in vars(cls).items()
        if name not in own and name not in ("__dict__", "__weakref__")
    }
    namespace["__qualname__"] = cls.__qualname__
    namespace["__slots__"] = tuple(name for name in own if name not in known)
    namespace["__record__"] = tuple(described)
    namespace["__match_args__"] = tuple(each.name for each in described if not each.kw_only)
    namespace.setdefault("__repr__", _repr)
    if "__eq__" not in namespace:
        namespace["__eq__"] = _comparison([each.name for each in described if each.compare])
        namespace["__hash__"] = None
    made = type(cls)(cls.__name__, cls.__bases__, namespace)
    if "__init__" not in namespace:
        made.__init__ = _first_init(made)
    return made


def _own_fields(cls):
    for name, annotation in cls.__annotations__.items():
        if "ClassVar" in str(annotation):
            continue
        given = vars(cls).get(name, MISSING)
        if isinstance(given, list | dict | set):
            raise ValueError(f"all {cls.__name__}s would share the default of {name}")
        described = given if isinstance(given, Field) else Field(default=given)
        yield name, described._replace(name=name)


def _first_init(cls):
    def __init__(self, *values, **named):
        cls.__init__ = compiled = _compile_init(cls)
        compiled(self, *values, **named)

    return __init__


def _compile_init(cls):
    """__init__ of a record's class, as one would write it."""
    scope = {"_MISSING": MISSING}
    parameters: tuple[list, list] = ["self"], []
    body = []
    for each in cls.__record__:
        name, value, parameter = each.name, each.name, each.name
        if each.factory is not MISSING:
            scope[f"_make_{name}"] = each.factory
            parameter = f"{name}=_MISSING"
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        elif each.default is not MISSING:
            scope[f"_default_{name}"] = each.default
            parameter = f"{name}=_default_{name}"
        parameters[each.kw_only].append(parameter)
        body.append(f"    self.{name} = {value}\n")
    if parameters[1]:
        parameters[1].insert(0, "*")
    head = f"def __init__({', '.join(parameters[0] + parameters[1])}):\n"
    exec(head + ("".join(body) or "    pass\n"), scope)
    scope["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    return scope["__init__"]


def _comparison(names):
    value = attrgetter(*names) if names else lambda _self: None

    def __eq__(self, other):
        return value(self) == value(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _repr(self):
    shown = (each.name for each in self.__record__ if each.repr)
    return f"{type(self).__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown)})"


def fields(of: Any) -> tuple[Field, ...]:
    """The values that a record, or its class, has; none where it is none."""
    return getattr(of, "__record__", ())


def replace(of: Any, **changes: Any) -> Any:
    """A record like this one, but for `changes`."""
    return type(of)(**{each.name: getattr(of, each.name) for each in fields(of)} | changes)
