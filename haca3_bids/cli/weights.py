"""List, download, inspect and convert the weights of the networks."""

import argparse
import json
from pathlib import Path

from haca3_bids.checkpoints import registry

KIND = "networks of the file: haca3 for harmonization, fusion for the fusion network (default: haca3)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One command per action."""
    commands = parser.add_subparsers(required=True, metavar="list|fetch|show|convert")
    listing = commands.add_parser("list", help="list the weights known by name")
    listing.set_defaults(what=_list)
    fetching = commands.add_parser("fetch", help="download the authors' weights and check their SHA-256")
    fetching.add_argument("name", choices=list(registry.RELEASED), help="which weights")
    fetching.set_defaults(what=_fetch)
    showing = commands.add_parser("show", help="print the metadata of a weights file as JSON")
    showing.add_argument("weights", metavar="NAME|FILE", help="a known name or a file")
    showing.add_argument("--kind", choices=registry.KINDS, default="haca3", help=KIND)
    showing.set_defaults(what=_show)
    converting = commands.add_parser("convert", help="convert the authors' weights to safetensors")
    converting.add_argument("weights", metavar="NAME|FILE", help="a known name or a file")
    converting.add_argument("out", type=Path, metavar="OUT.safetensors", help="file to write")
    converting.add_argument("--kind", choices=registry.KINDS, default="haca3", help=KIND)
    converting.add_argument("--variant", choices=("haca3", "haca3plus"), help="if it does not follow from the file")
    converting.add_argument("--half", action="store_true", help="store 16-bit numbers, which halves the size")
    converting.set_defaults(what=_convert)


def main(options: argparse.Namespace) -> int:
    """Run the command that was chosen."""
    options.what(options)
    return 0


def _list(options: argparse.Namespace) -> None:  # noqa: ARG001
    builtin = registry.builtin_path()
    size = f"{builtin.stat().st_size:>11,} B" if builtin.is_file() else f"{'':>13}"
    print(f"{registry.BUILTIN:10} mixture {size}  {'in the package' if builtin.is_file() else 'missing'}")
    for entry in registry.RELEASED.values():
        path = registry.cached_path(entry)
        state = str(path) if path.is_file() else f"not fetched; {entry.url}"
        print(f"{entry.name:10} {entry.kind:7} {entry.size_bytes:>11,} B  {state}")
        print(f"{'':33}  SHA-256 {entry.sha256}")


def _fetch(options: argparse.Namespace) -> None:
    print(registry.RELEASED[options.name].description)
    print(registry.fetch(options.name))


def _show(options: argparse.Namespace) -> None:
    from haca3_bids.checkpoints.formats import describe_file

    print(json.dumps(describe_file(registry.resolve(options.weights, options.kind), options.kind), indent=2))


def _convert(options: argparse.Namespace) -> None:
    from haca3_bids.checkpoints.formats import convert

    convert(registry.resolve(options.weights, options.kind), options.out, options.kind, options.variant, options.half)
    print(options.out)
