"""What a target's protocol cannot tell of a person: ``unknown_tissue.py LABEL_MAP ...``.

Every person's tissues have T1, T2 and proton density of their own, and so has every place in a tissue. A network that
takes the target's contrast from somebody else's scan can know the protocol and, from the sources, the anatomy. Slices
are rendered as they are and with the population's mean tissues, without noise under drawn protocols; the peak signal
to noise ratio in the head (dB) between the two is what such a network could reach if it made no error at all.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
from anatomy_levels import drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", nargs="+", metavar="LABEL_MAP")
    given = parser.parse_args()
    found = defaultdict(list)
    for view, contrast, protocol in drawn(given.labels):
        plain = np.zeros_like(view.local), np.zeros_like(view.deviations)
        variants = {
            "mean of everybody": replace(view, local=plain[0], deviations=plain[1]),
            "texture known": replace(view, deviations=plain[1]),
            "person known": replace(view, local=plain[0]),
        }
        image = view.clean(protocol)
        for name, other in variants.items():
            error = ((other.clean(protocol) - image)[view.mask] ** 2).mean()
            found[name, contrast].append(float(-10 * np.log10(error)))
    for (name, contrast), values in found.items():
        print(f"{name:>18} {contrast:>5}: {np.mean(values):.1f} dB")


if __name__ == "__main__":
    main()
