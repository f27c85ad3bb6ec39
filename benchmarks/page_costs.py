"""What time things take, for the pages of README and docs; for page_numbers.py."""

import textwrap

from page_tables import markdown, one, prose, table


def ratio(transform: str, variant: str, name: str = "spectra_cpu") -> float:
    """Time of our transform over that of another, 32 RGB images of 224 pixels."""
    chosen = {"transform": transform, "variant": variant, "shape": "32x3x224x224"}
    return float(one(name, **chosen)["fakefreq_over_this"])


def speed_of_spectra() -> str:
    """The DCTs against scipy and torch-dct, and others against their bare transforms."""
    dct, inverse = ([ratio(name, other) for other in ("torch-dct", "scipy, 2 workers")] for name in ("dct2", "idct2"))
    on_gpu = [ratio(name, "torch-dct", "spectra_gpu") for name in ("dct2", "idct2")]
    return prose(f"""
        On two CPU threads, 32 RGB images of 224 pixels ([table](../benchmarks/results/spectra_cpu.csv)): `dct2` takes
        {dct[0]:.2f} and `idct2` {inverse[0]:.2f} of torch-dct's time, {dct[1]:.2f} and {inverse[1]:.2f} of scipy's with
        two workers. On an H200 ([table](../benchmarks/results/spectra_gpu.csv), one run, before constants were kept on
        the GPU) they took {on_gpu[0]:.2f} and {on_gpu[1]:.2f} of torch-dct's.
    """)


def costs_of_scoring() -> str:
    """What `score` adds to decoding and network, by a detector that does nothing."""

    def told(images: int, quantity: str) -> float:
        return float(one("data_scale_cpu", part="scoring", images=images, quantity=quantity)["value"])

    csv, parquet = (told(1_000_000, f"{kind}: microseconds an image") for kind in ("csv", "parquet"))
    ten, hundred, million = (told(count, "parquet: peak MiB") for count in (10_000, 100_000, 1_000_000))
    texts = [
        f"""
        What `score` adds to decoding and network was {csv:.0f} microseconds an image in CSV and {parquet:.0f} in
        Parquet at a million images ([table](../benchmarks/results/data_scale_cpu.csv), `python
        benchmarks/data_scale.py --parts scoring --scored 10000 100000 1000000`, 2 cores, one run, a training beside
        it): under 1 % of a small network's time on a CPU, and {10 * parquet / 60:.0f} minutes for ten million.
        """,
        f"""
        Memory: a Parquet manifest without splits stays in its file, and the peak was {ten:,.0f} MiB at 10,000 images,
        {hundred:,.0f} at 100,000 and {million:,.0f} at a million, most of it libraries. A CSV, or a manifest with
        splits, is held whole, about {(told(1_000_000, "csv: peak MiB") - ten) * 1024 / 1e6:.1f} KiB a row. `index`
        writes Parquet above 500,000 images; it needs a third of CSV's disk.
        """,
    ]
    return "\n".join(
        textwrap.fill(" ".join(t.split()), 120, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for t in texts
    )


def costs_of_the_lattice() -> str:
    """Training and scoring of two streams over pixels."""
    row = one("throughput_cpu", detector="two_stream lattice")
    cells = [
        f"{row[f'{what}_time_over_pixel']:.3f} [{row[f'{what}_low']:.3f}, {row[f'{what}_high']:.3f}]"
        for what in ("train", "score")
    ]
    share = f"{100 * float(row['train_outside_backbone']):.1f} %"
    columns = ["two streams", "training", "scoring", "of a training step outside the backbone"]
    return markdown(columns, [["`lattice`", *cells, share]])


def costs_on_a_gpu() -> str:
    """Images a second of detectors and of bare timm, in both precisions."""
    rows = []
    for _, row in table("throughput_gpu").iterrows():
        cells = [f"{row[f'{what}_images_per_second']:,.0f}" for what in ("train", "score")]
        ratios = [
            f"{row[f'{what}_time_over_pixel']:.2f} [{row[f'{what}_low']:.2f}, {row[f'{what}_high']:.2f}]"
            for what in ("train", "score")
        ]
        rows.append([f"`{row['detector']}`", row["precision"], cells[0], ratios[0], cells[1], ratios[1]])
    columns = ["network", "precision", "training, images a second", "time over `pixel`"]
    return markdown([*columns, "scoring, images a second", "time over `pixel`"], rows)


def engines() -> str:
    """Images a second of fakefreq and of bare libraries on a CPU."""
    rows = []
    for _, row in table("engines_cpu").iterrows():
        has_ratio = isinstance(row["bare"], str)
        ratio = (
            f"{row['speed_over_bare']:.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['bare']}" if has_ratio else ""
        )
        rows.append([f"{row['engine']}", f"{row['images_per_second']:.0f}", ratio])
    return markdown(["engine", "images a second", "speed over the bare library"], rows)
