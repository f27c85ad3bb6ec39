"""Files of settings, in YAML or JSON: what `--config` reads, and what repeats a run."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from fakefreq.config.fields import typed_values
from fakefreq.config.run import TrainConfig
from fakefreq.errors import UserError, choose
from fakefreq.files import write_text

RUN_SETTINGS = "config.yaml"
"""The file in a run folder that repeats the run."""


def read_train_config(files: Sequence[str | Path], default: TrainConfig | None = None) -> TrainConfig:
    """Return the settings of one or several files; a later file wins.

    Args:
        files: .yaml, .yml or .json, each a table of names of `TrainConfig` and their values; what none of them names
            stays as it is in `default`.
        default: what the files change; the settings' own defaults where it is left out.

    Raises:
        UserError: a file is missing or neither YAML nor JSON, or names an unknown setting or a value of another type.
    """
    values: dict[str, Any] = {}
    for file in files:
        table = _read_table(Path(file))
        if table.pop("tensorboard", False):  # as files of older versions say it
            table.setdefault("log_with", "tensorboard")
        values |= typed_values(TrainConfig, table, str(file))
    return replace(default or TrainConfig(), **values)


def read_run_config(run: Path) -> TrainConfig:
    """Return the settings of a run.

    Raises:
        UserError: the folder holds none.
    """
    if not (run / RUN_SETTINGS).exists():
        raise UserError(f"{run} is no run folder: it has no {RUN_SETTINGS}, which says what was trained")
    return read_train_config([run / RUN_SETTINGS])


def write_train_config(config: TrainConfig, path: str | Path) -> None:
    """Write all settings as YAML, atomically; `read_train_config` returns the same ones, to the bit."""
    heading = "# This run again: fakefreq train MANIFEST --config THIS_FILE --out OTHER\n"
    text = yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True, width=120)
    write_text(path, heading + text)


def _read_table(path: Path) -> dict[Any, Any]:
    suffix = path.suffix.lower()
    choose(suffix, [".yaml", ".yml", ".json"], f"kind of file, {path}, with the ending", "--config")
    try:
        text = path.read_text(encoding="utf-8")
        if suffix == ".json":
            read = json.loads(text, object_pairs_hook=lambda pairs: _without_repetition(pairs, path))
        else:
            tree = yaml.compose(text, yaml.SafeLoader)
            if isinstance(tree, yaml.MappingNode):  # the loader lets the later of two values win without a word
                odd = [name for name, _ in tree.value if not isinstance(name, yaml.ScalarNode)]
                if odd:
                    raise UserError(
                        f"settings (--config) {path}, line {odd[0].start_mark.line + 1}: a name is a list or a table; "
                        "it takes lines such as `crop: 96`"
                    )
                _without_repetition([(name.value, None) for name, _ in tree.value], path)
            read = yaml.safe_load(text)
    except FileNotFoundError as error:
        raise UserError(f"settings (--config) {path}: there is no such file") from error
    except OSError as error:
        raise UserError(f"settings (--config) {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        kind = "JSON" if suffix == ".json" else "YAML"
        raise UserError(f"settings (--config) {path} are no {kind}: {error}") from error
    if not isinstance(read, dict):
        raise UserError(f"settings (--config) {path} are no table; it takes lines such as `crop: 96`")
    return read


def _without_repetition(pairs: Sequence[tuple[Any, Any]], path: Path) -> dict[Any, Any]:
    names = [name for name, _ in pairs]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"settings (--config) {path} give {', '.join(twice)} twice; give it once")
    return dict(pairs)
