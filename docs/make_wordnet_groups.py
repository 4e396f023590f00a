"""Write the synsets of Small-ImageNet's groups: ``python docs/make_wordnet_groups.py data.noun``.

``data.noun`` is WordNet 3.0's file of nouns, in /usr/share/wordnet with Debian's wordnet-base.
ImageNet names a synset by the letter n and its place in that file. The notice at the head of the
groups' file stays as it is.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from evenflow.study.data.small_imagenet import GROUPS_FILE, HEADS


def hyponyms(nouns: Path) -> dict[str, list[str]]:
    """The synsets directly below each synset, from the pointers @ and @i of ``data.noun``."""
    below = defaultdict(list)
    for line in nouns.read_text().splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.split("|")[0].split()
        first = 4 + 2 * int(fields[3], 16)
        for pointer in range(first + 1, first + 1 + 4 * int(fields[first]), 4):
            if fields[pointer] in ("@", "@i"):
                below[fields[pointer + 1]].append(fields[0])
    return below


def groups(nouns: Path) -> dict[str, set[str]]:
    """All synsets below each head, itself included."""
    below, found = hyponyms(nouns), {}
    for group, head in HEADS.items():
        found[group], left = {head}, [head]
        while left:
            new = set(below[left.pop()]) - found[group]
            found[group] |= new
            left += new
    return found


def main() -> None:
    """Write the file anew."""
    notice = [line for line in GROUPS_FILE.read_text().splitlines() if line.startswith("#")]
    found = groups(Path(sys.argv[1]))
    lines = [f"{group}: {' '.join(sorted(below))}" for group, below in found.items()]
    GROUPS_FILE.write_text("\n".join([*notice, *lines]) + "\n")


if __name__ == "__main__":
    main()
