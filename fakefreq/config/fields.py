"""Values of settings that were read from a file, checked against the fields of a settings object."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fakefreq.errors import UserError, choose


def typed_values(settings: type, given: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Return settings as the types that a dataclass says.

    Args:
        settings: a dataclass of texts, numbers, switches, choices and lists of texts.
        given: name -> value, as JSON and YAML know them.
        where: what the values stand in, for messages.

    Raises:
        UserError: a name that the dataclass does not have, with those that come close; a value of another type.

    >>> from fakefreq.config.run import TrainConfig
    >>> typed_values(TrainConfig, {"crop": 96, "train_on": ["stylegan"], "learning_rate": 1}, "a.yaml")
    {'crop': 96, 'train_on': ('stylegan',), 'learning_rate': 1.0}
    """
    names, hints = [item.name for item in fields(settings)], get_type_hints(settings)
    found = {}
    for name, value in given.items():
        choose(str(name), names, "setting", where)
        found[name] = _typed(value, hints[name], f"{where}: {name}")
    return found


def _typed(value: Any, hint: Any, where: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if get_origin(hint) is Literal:
        return choose(_text(value), list(get_args(hint)), "value", where)
    if get_origin(hint) is tuple:
        if isinstance(value, list | tuple):
            return tuple(_typed(item, str, where) for item in value)
        allowed = "a list of texts, such as [stylegan, stylegan2]"
    elif hint is bool:
        if isinstance(value, bool):
            return value
        allowed = "true or false"
    elif hint is int:
        if is_number and isinstance(value, int):
            return value
        allowed = "a whole number"
    elif hint is float:
        if is_number or isinstance(value, str):  # YAML 1.1 reads 5e-4, which has no point, as a text
            try:
                return float(value)
            except (ValueError, OverflowError):  # a whole number may have more digits than a float
                pass
        allowed = "a number"
    else:
        if isinstance(value, str) or (is_number and isinstance(value, int)):  # such as freeze: 2
            return str(value)
        allowed = "a text (in quotes, where it is a word such as no, off or null)"
    got = _text(value)
    raise UserError(f"{where} takes {allowed}; got {got if len(got) <= 80 else f'{got[:77]}...'}")


def _text(value: Any) -> str:
    """As JSON and YAML write it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
