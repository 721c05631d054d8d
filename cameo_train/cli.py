"""``cameo-train``: the command group; ``fit`` and ``precision`` join it."""

import click

from cameo_train import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cameo-train")
def main() -> None:
    """Train on correspondence shards and measure correspondence precision."""
