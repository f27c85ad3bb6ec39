"""What `fakefreq --help` shows: a line a command, in the order of a first day."""

GROUPS: dict[str, dict[str, str]] = {
    "get images": {
        "demo": "do all of it on images that it fetches: photographs and fakes",
        "zoo": "make fakes with pretrained generators, paired with photographs: list, fetch, build",
        "index": "make a manifest, the table of images, from a folder, from shards or from a list",
    },
    "check them": {
        "audit": "tell whether codec, size or source give the label away (status 1 warns, 3 fails)",
        "align": "bring every image, real or fake, through one crop, size and codec",
        "split": "split a manifest into train, val and test, by group",
        "manifest": "merge, filter, sample, check or seal manifests",
    },
    "train and judge": {
        "train": "train one detector; test images are never opened",
        "score": "score the images of a manifest: one row an image, with its logit",
        "compare": "train two-stream and pixel-only alike, test both on every generator, and report",
        "benchmark": "train and test detectors by protocol, with tables and a page; does what is missing",
        "ablate": "measure what each choice of spectrum, fusion, augmentation, ... is worth",
        "robustness": "test trained detectors on degraded images",
        "evaluate": "write all tables for one detector: a run, or anyone's table of scores",
        "compare-scores": "compare anyone's detectors: tables of scores, or Python files that it runs",
    },
    "look and hand on": {
        "predict": "tell how fake some image files look",
        "explain": "show why: a page an image, with pixels, frequencies and the lattice",
        "app": "open a page in the browser for single images: verdict, warnings, pictures of why",
        "export": "write a trained detector as an ONNX file, held against torch",
        "publish": "send a finished run to the Hugging Face hub, with a model card made from it",
        "spectrum": "measure the mean spectra of each generator beside those of its photographs",
        "report": "make a page, Markdown, CSV and LaTeX tables of a finished benchmark",
    },
}


def overview() -> str:
    """Return the page: at most 40 lines of at most 100 characters."""
    width = max(len(name) for commands in GROUPS.values() for name in commands)
    lines = [
        "usage: fakefreq COMMAND ... [--quiet | --verbose]",
        "",
        "Tell GAN-generated face images from photographs, and measure what spectra add to pixels.",
    ]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:{width}}  {told}" for name, told in commands.items())]
    lines += [
        "",
        "fakefreq COMMAND --help    all flags of a command, with an example",
        "--quiet                    only results, warnings and errors",
        "--verbose                  also details, such as the loss within an epoch",
        "--version                  print the version",
    ]
    return "\n".join(lines)
