"""Near-duplicates: a perceptual hash, and a search that does not compare all pairs."""

import itertools

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fakefreq.errors import UserError

# A hash has 256 bits: the first 64, of the lowest frequencies, are searched; all of them decide. Aligned faces are all
# alike at low frequencies, so that 64 bits alone pair strangers; the measurements are in data/README.md.
SEARCHED = 64
SEARCH_RADIUS = 6
NEAR_BITS = 24
HASH_BITS = 256
_SIDE = 16
# The coefficients by growing frequency, the mean left out; one more of the next diagonal makes 256.
_ORDER = sorted((row + column, row, column) for row in range(_SIDE) for column in range(_SIDE) if row or column)
_ROWS, _COLUMNS = (np.array([*(place[axis] for place in _ORDER), (0, 0, _SIDE)[axis]]) for axis in (1, 2))


def perceptual_hash(image: np.ndarray) -> str:
    """Return 64 hexadecimal digits that barely change when an image is resized, recompressed or brightened.

    The signs, against their median, of the 64 lowest frequencies of the DCT of the image's luma at 32 pixels, and
    likewise of the next 192 (after Zauner, 2010, Implementation and Benchmarking of Perceptual Image Hash Functions).
    A flat image has no structure to be known by: its hash is empty and it is nobody's duplicate.

    Args:
        image: uint8, RGB.

    Shape:
        - image: (H, W, 3)

    >>> perceptual_hash(np.zeros((8, 8, 3), np.uint8))
    ''
    """
    luma = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(luma, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    if small.std() < 1.0:
        return ""
    coefficients = cv2.dct(small)[_ROWS, _COLUMNS]
    low, high = coefficients[:SEARCHED], coefficients[SEARCHED:]
    return np.packbits(np.concatenate([low > np.median(low), high > np.median(high)])).tobytes().hex()


def hash_numbers(hashes: pd.Series) -> NDArray[np.uint64]:
    """Return hexadecimal hashes, none of them empty, as 64-bit numbers, the searched one first.

    Raises:
        UserError: a hash that is not 64 hexadecimal digits.

    Shape:
        - output: (N, 4)
    """
    try:
        # Joined piece by piece: as Python objects a million hashes take 120 MB.
        starts = range(0, len(hashes), 65536)
        raw = b"".join(bytes.fromhex("".join(hashes.iloc[start : start + 65536].tolist())) for start in starts)
        return np.frombuffer(raw, ">u8").astype(np.uint64).reshape(len(hashes), 4)
    except ValueError as error:
        raise UserError("the manifest's phash column is damaged; index again with --phash") from error


def count_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the number of ones in each 64-bit number (NumPy 1 has no function for it)."""
    one, two, four = (np.uint64(int(mask * 8, 16)) for mask in ("55", "33", "0f"))
    values = values - ((values >> np.uint64(1)) & one)
    values = (values & two) + ((values >> np.uint64(2)) & two)
    values = (values + (values >> np.uint64(4))) & four
    return (values * np.uint64(0x0101010101010101)) >> np.uint64(56)


def find_pairs(hashes: NDArray[np.uint64], radius: int, near_bits: int) -> NDArray[np.int64]:
    """Return every pair of hashes that differ in at most `near_bits` bits, and in at most `radius` of the first 64.

    The first 64 bits are dealt into radius + 2 bands. Where at most `radius` bits differ, at least two bands are equal
    (pigeonhole), so only hashes that agree in some pair of bands are compared: none is missed, and few are compared
    in vain. After Norouzi, Punjani and Fleet, 2012, Fast search in Hamming space with multi-index hashing.

    Args:
        hashes: 64 bits a word; equal ones are paired in a chain, not each with each.
        radius: bits of the first word, 0 to 14.
        near_bits: bits of all words.

    Shape:
        - hashes: (N, W)
        - output: (P, 2), positions in `hashes`, the smaller first, each pair once
    """
    if not 0 <= radius <= 14:
        raise ValueError(f"radius takes 0 to 14 bits; got {radius}")
    order = np.lexsort(hashes.T[::-1])
    ordered = hashes[order]
    is_first = np.ones(len(hashes), dtype=bool)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    parts = [np.stack([order[:-1][~is_first[1:]], order[1:][~is_first[1:]]], axis=1)]
    unique, places = ordered[is_first], order[is_first]
    # Neighbouring frequencies of faces agree often; dealing them out makes every band tell as much as any other.
    bands = [range(start, SEARCHED, radius + 2) for start in range(radius + 2)]
    for pair in itertools.combinations(bands, 2):
        mask = np.uint64(sum(1 << bit for band in pair for bit in band))
        found = _within(unique, unique[:, 0] & mask, radius, near_bits)
        parts.append(places[found])
    return np.unique(np.sort(np.concatenate(parts), axis=1), axis=0)


def _within(hashes: NDArray[np.uint64], keys: NDArray[np.uint64], radius: int, near_bits: int) -> NDArray[np.int64]:
    """Compare the hashes of equal key: each with its next in key order, then with its next but one, and so on."""
    order = np.argsort(keys, kind="stable")
    keys, first = keys[order], hashes[order, 0]
    found = [np.empty((0, 2), dtype=np.int64)]
    # What is still followed by another of its key `step` places later; it shrinks to nothing at the largest bucket.
    alive = np.arange(len(keys))
    for step in itertools.count(1):
        alive = alive[: np.searchsorted(alive, len(keys) - step)]
        alive = alive[keys[alive] == keys[alive + step]]
        if not len(alive):
            break
        near = alive[count_bits(first[alive] ^ first[alive + step]) <= radius]
        left, right = order[near], order[near + step]
        same = count_bits(hashes[left] ^ hashes[right]).sum(axis=1) <= near_bits
        found.append(np.stack([left[same], right[same]], axis=1))
    return np.concatenate(found)


def near_duplicates(manifest: pd.DataFrame, near_bits: int = NEAR_BITS) -> NDArray[np.int64]:
    """Return pairs of row positions whose perceptual hashes are near.

    Args:
        manifest: a table of images with the column `phash`; rows where it is empty are in no pair.
        near_bits: of 256, by which two may differ; of the first 64 at most `SEARCH_RADIUS`.

    Shape:
        - output: (P, 2)
    """
    known = np.flatnonzero((manifest["phash"] != "").to_numpy())
    if len(known) < 2:
        return np.empty((0, 2), dtype=np.int64)
    return known[find_pairs(hash_numbers(manifest["phash"].iloc[known]), SEARCH_RADIUS, near_bits)]


def check_near_bits(near_bits: int) -> None:
    """Refuse a distance at which groups would be made that other commands refuse: they all take `NEAR_BITS`.

    Raises:
        UserError: below `NEAR_BITS`, or more than a hash has.
    """
    if not NEAR_BITS <= near_bits <= HASH_BITS:
        raise UserError(
            f"--near-bits takes {NEAR_BITS} to {HASH_BITS}; got {near_bits}. Images within {NEAR_BITS} bits are "
            "near-duplicates to `split`, `train` and all other commands, which refuse them in two splits"
        )


def merge_groups(groups: pd.Series, sha256: pd.Series, pairs: NDArray[np.int64] | None = None) -> pd.Series:
    """Join the groups that share a file's bytes or a pair, chains included; the smallest name stands for all.

    Args:
        groups: a name a row.
        sha256: of each row's file; empty where unknown.
        pairs: further row positions to be joined, (P, 2).
    """
    group_codes, names = pd.factorize(groups, sort=True)
    file_codes, files = pd.factorize(sha256.where(sha256 != "", None))
    rows = np.flatnonzero(file_codes >= 0)
    left, right = group_codes[rows], file_codes[rows] + len(names)
    if pairs is not None and len(pairs):
        left = np.concatenate([left, group_codes[pairs[:, 0]]])
        right = np.concatenate([right, group_codes[pairs[:, 1]]])
    size = len(names) + len(files)
    graph = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    # Names are sorted: the first of a component is its smallest.
    smallest = pd.Series(np.arange(len(names))).groupby(component[: len(names)]).transform("min").to_numpy()
    return pd.Series(np.asarray(names, dtype=object)[smallest[group_codes]], index=groups.index, dtype=groups.dtype)
