"""Finished folders, opened for a closer look: the scores of a benchmark, of a comparison or of one run."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import best_threshold
from fakefreq.evaluate.score import read_scores
from fakefreq.evaluate.store import read_table, table_path
from fakefreq.files import read_json
from fakefreq.protocols.measure import Draws
from fakefreq.protocols.protocol import find_protocol
from fakefreq.protocols.tables import add_means
from fakefreq.protocols.unit import Key, Unit, group_names, make_unit

COLUMNS = ["detector", "train_on", "seed", "track", "role", "path", "sha256", "label", "generator", "source", "subset"]
COLUMNS += ["group", "split", "logit"]


def open_scores(folder: str | Path) -> pd.DataFrame:
    """Return the scores of a finished folder, validation and test rows of all its cells below each other.

    Args:
        folder: as `fakefreq benchmark` left it (scores.parquet or .csv), as `fakefreq compare` did (run folders with
            a scores.csv each), or one such run folder.

    Returns:
        Columns detector, train_on, seed, track, role (val, test), then those of `fakefreq.protocols`' scores.

    Raises:
        UserError: nothing of the kind is there.
    """
    folder = Path(folder)
    whole = table_path(folder)
    if whole.exists() and not (folder / "config.json").exists():
        table = read_table(whole)
        missing = [name for name in COLUMNS if name not in table]
        if missing:
            raise UserError(f"{whole} lacks the columns {', '.join(missing)}: it is not of `fakefreq benchmark`")
        return table[COLUMNS]
    is_run = (folder / "config.json").exists()
    runs = [folder] if is_run else sorted(path.parent for path in folder.glob("*/scores.csv"))
    if not runs:
        raise UserError(f"{folder} holds no scores: give what `fakefreq benchmark` or `compare` wrote, or a run folder")
    return pd.concat([_run(run) for run in runs], ignore_index=True)


def _run(run: Path) -> pd.DataFrame:
    config = read_json(run / "config.json", "the run's configuration")["train"]
    if not (run / "scores.csv").exists():
        raise UserError(f"{run} has no scores.csv: `fakefreq score {run} MANIFEST --out {run / 'scores.csv'}` makes it")
    val, test = read_scores(run / "val_scores.csv"), read_scores(run / "scores.csv")
    train_on = config["train_on"] or sorted(set(val.loc[val["label"] == 1, "generator"]))
    used = set(val["path"])
    tables = [val.assign(role="val"), test[~test["path"].isin(used)].assign(role="test")]
    facts = {"detector": config["detector"], "train_on": "+".join(train_on), "seed": int(config["seed"])}
    return pd.concat(tables, ignore_index=True).assign(**facts, track="raw").reindex(columns=COLUMNS, fill_value="")


def measured_units(
    scores: pd.DataFrame,
    protocol: str = "one_to_all",
    draws: int = 500,
    detectors: Sequence[str] = (),
    prevalence: float = 0.01,
) -> tuple[list[Unit], dict[str, Draws]]:
    """Return a measured unit for each training set and track, with all its detectors and seeds.

    Args:
        scores: as `open_scores` returns them. Test images that not all cells of a unit score are left out.
        protocol: decides which test rows are reported: `matrix` takes the test split alone, `one_to_all` all images of
            unseen generators.
        draws: of the bootstrap, by group, the same for all units of a track.
        detectors: only these, in this order; all by default.
        prevalence: that the precision is stated for.

    Returns:
        The units, and the draws of each track.
    """
    chosen = list(detectors) or list(dict.fromkeys(scores["detector"].astype(str)))
    units, drawn = [], {}
    for track, of_track in scores.groupby("track", observed=True, sort=False):
        images = of_track.drop_duplicates("path")
        drawn[str(track)] = Draws.of(images.assign(group=group_names(images)), draws)
        for train_on, part in of_track.groupby("train_on", observed=True, sort=True):
            cells: dict[Key, pd.DataFrame] = {}
            for name in chosen:
                of_detector = part[part["detector"] == name]
                for seed in sorted(set(of_detector["seed"])):
                    cells[name, int(seed)] = of_detector[of_detector["seed"] == seed]
            unit = _unit(protocol, str(track), str(train_on).split("+"), cells, drawn[str(track)])
            unit.measure_all(drawn[str(track)], prevalence, 1, lambda: None)
            add_means(unit)
            units.append(unit)
    return units, drawn


def _unit(protocol: str, track: str, train_on: Sequence[str], cells: dict[Key, pd.DataFrame], draws: Draws) -> Unit:
    thresholds, test = {}, {}
    for key, cell in cells.items():
        val = validation_rows(cell)
        thresholds[key] = best_threshold(val["label"].to_numpy(), val["logit"].to_numpy())
        test[key] = find_protocol(protocol).select(cell)
    shared = set.intersection(*(set(table["path"]) for table in test.values()))
    alike = {key: table[table["path"].isin(shared)] for key, table in test.items()}
    return make_unit(protocol, track, train_on, alike, thresholds, draws)


def validation_rows(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one cell that chose its threshold and that calibrations are fitted to.

    Raises:
        UserError: there is none of a class.
    """
    val = cell[cell["role"] == "val"]
    if val["label"].nunique() < 2:
        raise UserError("a cell has no validation scores of both classes, so there is no threshold to measure at")
    return val
